import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { ControlDirectory } from '../src/control-directory.js';
import { ensureDatabase, startEmbeddedPostgres, type EmbeddedPostgres } from '../src/index.js';
import { identifyProcess } from '../src/process-identity.js';
import { isRoot } from '../src/server-user.js';

let home: string;
let dataDirectory: string;
const clusters: EmbeddedPostgres[] = [];

async function start(options: Parameters<typeof startEmbeddedPostgres>[0] = {}): Promise<EmbeddedPostgres> {
  const cluster = await startEmbeddedPostgres(options);
  clusters.push(cluster);
  return cluster;
}

async function ask<Row extends pg.QueryResultRow>(cluster: EmbeddedPostgres, sql: string): Promise<Row[]> {
  const client = new pg.Client(cluster.url());
  await client.connect();
  try {
    return (await client.query<Row>(sql)).rows;
  } finally {
    await client.end();
  }
}

beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'embedded-postgres-test-'));
  await chmod(home, 0o755);
  dataDirectory = path.join(home, 'clone', '.data');
});
afterEach(async () => {
  await Promise.all(clusters.splice(0).map(async (cluster) => await cluster.stop()));
  await rm(home, { recursive: true, force: true });
});

describe('a throwaway cluster', () => {
  test('is the same on every machine, asks for a password, and leaves nothing behind', async () => {
    const cluster = await start({ settings: { fsync: false } });
    const [row] = await ask<Record<string, string>>(
      cluster,
      `SELECT current_setting('server_encoding') AS encoding, current_setting('TimeZone') AS timezone, datlocprovider AS provider,
              datlocale AS locale, current_setting('fsync') AS fsync, current_setting('listen_addresses') AS addresses,
              current_setting('data_directory') AS directory, 'Ä' < 'B' AS sorted
         FROM pg_database WHERE datname = current_database()`,
    );
    expect(row).toMatchObject({
      encoding: 'UTF8',
      timezone: 'UTC',
      provider: 'b',
      locale: 'C.UTF-8',
      fsync: 'off',
      addresses: '127.0.0.1',
      sorted: false,
    });
    expect(cluster).toMatchObject({
      adopted: false,
      host: '127.0.0.1',
      version: expect.stringMatching(/^18\./) as string,
    });
    const stranger = new pg.Client({ host: cluster.host, port: cluster.port, user: cluster.user, password: 'guess' });
    await expect(stranger.connect()).rejects.toMatchObject({ code: '28P01' });
    await cluster.stop();
    expect(existsSync(path.dirname(row?.['directory'] ?? ''))).toBe(false);
    expect(identifyProcess(cluster.pid)).toBeUndefined();
    await cluster.stop();
  });

  test('removes those that a crash of the machine left', async () => {
    const parent = path.dirname(home);
    const left = await mkdtemp(path.join(parent, 'nestjs-uow-pg-'));
    const used = await mkdtemp(path.join(parent, 'nestjs-uow-pg-'));
    for (const directory of [left, used]) {
      new ControlDirectory(directory).enter();
      await utimes(directory, 0, 0);
    }
    const [holder] = await readdir(path.join(left, 'holders'));
    const file = path.join(left, 'holders', holder ?? '');
    const note = JSON.parse(await readFile(file, 'utf8')) as object;
    await writeFile(file, JSON.stringify({ ...note, started: 'before the last reboot' }));
    await start();
    expect([existsSync(left), existsSync(used)]).toEqual([false, true]);
    await rm(used, { recursive: true });
  });
});

describe('a kept cluster', () => {
  test('keeps its data, its password and its port', async () => {
    const first = await start({ dataDirectory });
    await ask(first, 'CREATE TABLE note (id int)');
    await first.stop();
    const second = await start({ dataDirectory });
    expect(await ask(second, 'SELECT * FROM note')).toEqual([]);
    expect(second).toMatchObject({ adopted: false, password: first.password, port: first.port });
  });

  test('is shared within a process as between processes', async () => {
    const first = await start({ dataDirectory });
    const second = await start({ dataDirectory });
    expect(second).toMatchObject({ adopted: true, pid: first.pid });
    await first.stop();
    await ask(second, 'SELECT 1');
    await second.stop();
    expect(identifyProcess(first.pid)).toBeUndefined();
  });

  test('takes another port when its own is taken', async () => {
    const squatter = createServer();
    await new Promise<void>((resolve) => squatter.listen(0, '127.0.0.1', resolve));
    const { port } = squatter.address() as AddressInfo;
    try {
      const cluster = await start({ dataDirectory, port });
      expect(cluster.port).not.toBe(port);
      await ask(cluster, 'SELECT 1');
    } finally {
      squatter.close();
    }
  });

  test('starts although its postmaster.pid names a process that is another program by now', async () => {
    await (await start({ dataDirectory })).stop();
    const file = path.join(dataDirectory, 'server.json');
    const record = JSON.parse(await readFile(file, 'utf8')) as { postmaster: { pid: number } };
    // Not of this process or its ancestors, which PostgreSQL would recognise by itself.
    const other = await start();
    record.postmaster.pid = other.pid;
    await writeFile(file, JSON.stringify(record));
    await writeFile(
      path.join(dataDirectory, 'pgdata', 'postmaster.pid'),
      `${other.pid}\n/elsewhere\n0\n1\n\n\n\nready\n`,
    );
    const cluster = await start({ dataDirectory });
    expect(cluster.adopted).toBe(false);
    await ask(other, 'SELECT 1');
  });

  test('is not made by halves', async () => {
    await mkdir(path.join(dataDirectory, 'pgdata.draft-1'), { recursive: true });
    await writeFile(path.join(dataDirectory, 'pgdata.draft-1', 'PG_VERSION'), '18');
    await start({ dataDirectory });
    expect((await readdir(dataDirectory)).sort()).toEqual(['holders', 'pgdata', 'server.json', 'server.log']);
  });

  test('says what to do with the data of another major version', async () => {
    await mkdir(path.join(dataDirectory, 'pgdata'), { recursive: true });
    await writeFile(path.join(dataDirectory, 'pgdata', 'PG_VERSION'), '15\n');
    const error: unknown = await start({ dataDirectory }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ name: 'EmbeddedPostgresError', code: 'OTHER_MAJOR_VERSION' });
    expect(String(error)).toMatch(/PostgreSQL 15\b.*PostgreSQL 18\b.*remove .*DATABASE_URL/s);
    expect(await readdir(path.join(dataDirectory, 'holders'))).toEqual([]);
  });

  const asOrdinaryUser = isRoot() ? test.skip : test;
  asOrdinaryUser('says so when another user made the directory', async () => {
    await mkdir(dataDirectory, { recursive: true });
    await chmod(dataDirectory, 0o500);
    await expect(start({ dataDirectory })).rejects.toMatchObject({ code: 'DIRECTORY_NOT_USABLE' });
    await chmod(dataDirectory, 0o700);
  });

  test('says why the server does not start, and leaves nothing running', async () => {
    const failing = start({ dataDirectory, settings: { shared_buffers: 'plenty' } });
    await expect(failing).rejects.toMatchObject({ code: 'START_FAILED' });
    await expect(failing).rejects.toThrow(/invalid value for parameter "shared_buffers"/);
    await start({ dataDirectory });
  });

  test('is not mistaken for that of the directory it was copied from', async () => {
    const original = await start({ dataDirectory });
    await ask(original, 'CREATE TABLE note (id int)');
    const copy = path.join(home, 'copy');
    const { cp, chown, lchown, stat } = await import('node:fs/promises');
    await ask(original, 'CHECKPOINT');
    await cp(dataDirectory, copy, { recursive: true });
    const owner = await stat(path.join(dataDirectory, 'pgdata'));
    for (const entry of await readdir(path.join(copy, 'pgdata'), { recursive: true })) {
      await lchown(path.join(copy, 'pgdata', entry), owner.uid, owner.gid);
    }
    await chown(path.join(copy, 'pgdata'), owner.uid, owner.gid);
    const other = await start({ dataDirectory: copy });
    expect(other.adopted).toBe(false);
    expect(other.pid).not.toBe(original.pid);
    await other.stop();
    expect(identifyProcess(other.pid)).toBeUndefined();
    await ask(original, 'SELECT * FROM note');
  });

  test('is stopped also when its directory was removed meanwhile', async () => {
    const cluster = await start({ dataDirectory });
    await rm(dataDirectory, { recursive: true });
    await cluster.stop();
    expect(identifyProcess(cluster.pid)).toBeUndefined();
  });
});

test('ensureDatabase makes a database once', async () => {
  const cluster = await start();
  const made = await Promise.all([1, 2, 3].map(async () => await ensureDatabase(cluster, 'Bank & Co')));
  expect(made.filter(Boolean)).toHaveLength(1);
  const client = new pg.Client(cluster.url('Bank & Co'));
  await client.connect();
  await client.end();
});
