import {
  chmod,
  cp,
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  readlink,
  rm,
  symlink,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { findBinaries, locateInstalled } from '../src/binaries.js';
import { cachedCopy } from '../src/binary-cache.js';
import { startEmbeddedPostgres } from '../src/index.js';
import { chooseServerUser, isRoot, type ServerUser } from '../src/server-user.js';

let home: string;
let user: ServerUser;

beforeEach(async () => {
  user = await chooseServerUser();
  home = await mkdtemp(path.join(tmpdir(), 'embedded-postgres-test-'));
  await chmod(home, 0o755);
});
afterEach(async () => {
  await rm(home, { recursive: true, force: true });
});

/** A package with the form of the real ones, but small. */
async function smallPackage(): Promise<string> {
  const native = path.join(home, 'package', 'native');
  await mkdir(path.join(native, 'bin'), { recursive: true });
  await mkdir(path.join(native, 'lib'));
  await writeFile(path.join(home, 'package', 'package.json'), '{ "version": "18.4.0" }');
  await writeFile(path.join(native, 'bin', 'postgres'), '#!/bin/sh\n');
  await writeFile(path.join(native, 'lib', 'libpq.so.5.18'), 'library');
  await writeFile(path.join(native, 'lib', 'libpq.a'), 'not needed to run');
  const links = [{ source: 'native/lib/libpq.so.5.18', target: 'native/lib/libpq.so.5' }];
  await writeFile(path.join(native, 'pg-symlinks.json'), JSON.stringify(links));
  return native;
}

describe('locateInstalled', () => {
  test('finds the package of this platform', () => {
    expect(locateInstalled(process.platform, process.arch)).toMatch(/@embedded-postgres[/\\].*native$/);
  });

  test('says for others how to use a PostgreSQL of one’s own', () => {
    expect(() => locateInstalled('linux', 's390x')).toThrow(
      expect.objectContaining({
        code: 'PLATFORM_NOT_SUPPORTED',
        message: expect.stringMatching(/linux-s390x.*set DATABASE_URL.*postgres:\/\//s) as string,
      }) as Error,
    );
    expect(() => locateInstalled('freebsd', 'x64')).toThrow('DATABASE_URL');
  });
});

describe('findBinaries', () => {
  test('uses a copy where the links between the libraries were not made', async () => {
    const native = path.join(home, 'package', 'native');
    await cp(locateInstalled(process.platform, process.arch), native, { recursive: true });
    await cp(
      path.join(locateInstalled(process.platform, process.arch), '../package.json'),
      path.join(native, '../package.json'),
    );
    for (const entry of await readdir(path.join(native, 'lib'))) {
      const file = path.join(native, 'lib', entry);
      if ((await lstat(file)).isSymbolicLink()) await unlink(file);
    }
    const cache = path.join(home, 'cache');
    const found = await findBinaries(user, native, [cache]);
    expect(found).toMatchObject({ major: 18, version: expect.stringMatching(/^18\./) as string });
    expect(found.initdb.startsWith(cache)).toBe(true);
  });

  test('says that programs which do not run here are of no use', async () => {
    const native = await smallPackage();
    await writeFile(path.join(native, 'bin', 'postgres'), 'for another machine');
    await expect(findBinaries(user, native, [path.join(home, 'cache')])).rejects.toMatchObject({
      code: 'PLATFORM_NOT_SUPPORTED',
      message: expect.stringContaining('DATABASE_URL') as string,
    });
  });
});

describe('cachedCopy', () => {
  test('has what is needed to run, and the links', async () => {
    const copy = await cachedCopy(await smallPackage(), user, [path.join(home, 'cache')]);
    expect((await readdir(path.join(copy, 'lib'))).sort()).toEqual(['libpq.so.5', 'libpq.so.5.18']);
    expect(await readlink(path.join(copy, 'lib', 'libpq.so.5'))).toBe('libpq.so.5.18');
    expect((await lstat(path.join(copy, 'bin', 'postgres'))).mode & 0o777).toBe(0o755);
  });

  test('is made once, also when many want it at once, and anew for other content', async () => {
    const native = await smallPackage();
    const cache = path.join(home, 'cache');
    const copies = await Promise.all(Array.from({ length: 5 }, async () => await cachedCopy(native, user, [cache])));
    expect(new Set(copies).size).toBe(1);
    expect(await readdir(cache)).toEqual([path.basename(copies[0] ?? '')]);
    await writeFile(path.join(native, 'bin', 'postgres'), '#!/bin/bash');
    expect(await cachedCopy(native, user, [cache])).not.toBe(copies[0]);
  });

  test('is made again when files are missing from it', async () => {
    const native = await smallPackage();
    const cache = path.join(home, 'cache');
    const copy = await cachedCopy(native, user, [cache]);
    await unlink(path.join(copy, 'lib', 'libpq.so.5.18'));
    await cachedCopy(native, user, [cache]);
    expect(await readFile(path.join(copy, 'lib', 'libpq.so.5.18'), 'utf8')).toBe('library');
    expect(await readdir(cache)).toHaveLength(1);
  });

  test('is not kept where others could have laid it', async () => {
    const native = await smallPackage();
    const [open, link, safe] = ['open', 'link', 'safe'].map((name) => path.join(home, name)) as [
      string,
      string,
      string,
    ];
    await mkdir(open);
    await chmod(open, 0o777);
    await symlink(open, link);
    expect(path.dirname(await cachedCopy(native, user, [open, link, safe]))).toBe(safe);
    await expect(cachedCopy(native, user, [open, link])).rejects.toMatchObject({ code: 'DIRECTORY_NOT_USABLE' });
  });
});

const asRoot = isRoot() ? describe : describe.skip;
asRoot('root, in a directory that only root may enter', () => {
  test('runs the programs from a copy that the server’s user can reach', async () => {
    const closed = path.join(home, 'closed');
    await mkdir(closed, { mode: 0o700 });
    const installed = locateInstalled(process.platform, process.arch);
    await cp(installed, path.join(closed, 'native'), { recursive: true, verbatimSymlinks: true });
    await cp(path.join(installed, '../package.json'), path.join(closed, 'package.json'));
    const cache = path.join(home, 'cache');
    const found = await findBinaries(user, path.join(closed, 'native'), [cache]);
    expect(found.postgres.startsWith(cache)).toBe(true);
  });

  test('keeps the data elsewhere, and finds it again after the directory was renamed, but not from a copy', async () => {
    const closed = path.join(home, 'closed');
    await mkdir(closed, { mode: 0o700 });
    const relocated: string[] = [];
    const start = async (dataDirectory: string): Promise<{ stop(): Promise<void>; password: string }> => {
      const cluster = await startEmbeddedPostgres({ dataDirectory });
      const { pgdata } = JSON.parse(await readFile(path.join(dataDirectory, 'location.json'), 'utf8')) as {
        pgdata: string;
      };
      relocated.push(path.dirname(pgdata));
      return cluster;
    };
    try {
      await (await start(path.join(closed, 'one'))).stop();
      await (await start(path.join(closed, 'one'))).stop();
      await cp(path.join(closed, 'one'), path.join(closed, 'copy'), { recursive: true });
      const { rename } = await import('node:fs/promises');
      await rename(path.join(closed, 'one'), path.join(closed, 'renamed'));
      await (await start(path.join(closed, 'renamed'))).stop();
      await (await start(path.join(closed, 'copy'))).stop();
      const [first, again, renamed, copied] = relocated;
      expect([again, renamed]).toEqual([first, first]);
      expect(copied).not.toBe(first);
    } finally {
      for (const directory of relocated) await rm(directory, { recursive: true, force: true });
    }
  });
});
