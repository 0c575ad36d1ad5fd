import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { EmbeddedPostgresError, useDatabaseUrl } from './embedded-postgres-error.js';

const run = promisify(execFile);

/**
 * Who PostgreSQL runs as. PostgreSQL refuses root, so root lends it an unprivileged user that exists already;
 * everybody else runs it as themselves.
 */
export interface ServerUser {
  readonly name: string;
  /** To be spread into the options of `spawn`; undefined when the server runs as the user of this process. */
  readonly ids: { readonly uid: number; readonly gid: number } | undefined;
}

/** Whether this process is root, which cannot run PostgreSQL as itself. */
export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/**
 * Chooses the user for a server. Root takes the owner of an existing data directory, so that data made by an
 * ordinary user stays theirs, else the first of `postgres`, `_postgres` and `nobody` that exists.
 *
 * @param dataDirectory an existing cluster's directory, if there is one
 * @throws EmbeddedPostgresError `NO_UNPRIVILEGED_USER`
 */
export async function chooseServerUser(dataDirectory?: string): Promise<ServerUser> {
  if (!isRoot()) return { name: 'the current user', ids: undefined };
  if (dataDirectory !== undefined) {
    const owner = await stat(dataDirectory).catch(() => undefined);
    if (owner !== undefined && owner.uid !== 0) {
      return { name: `uid ${owner.uid}`, ids: { uid: owner.uid, gid: owner.gid } };
    }
  }
  for (const name of ['postgres', '_postgres', 'nobody']) {
    const uid = await numericId('-u', name);
    const gid = await numericId('-g', name);
    if (uid !== undefined && gid !== undefined && uid !== 0) return { name, ids: { uid, gid } };
  }
  throw new EmbeddedPostgresError(
    'NO_UNPRIVILEGED_USER',
    `PostgreSQL refuses to run as root, and none of the users "postgres" and "nobody" exists to run it instead. Create one (useradd --system postgres), or start as an ordinary user. ${useDatabaseUrl}`,
  );
}

/**
 * Whether that user can enter a directory: asked of the system itself, since modes alone do not tell
 * (access lists, network file systems, parents that only their owner may enter).
 */
export async function canEnter(user: ServerUser, directory: string): Promise<boolean> {
  if (user.ids === undefined) return true;
  try {
    await run('/bin/sh', ['-c', 'cd -- "$1"', 'sh', directory], { ...user.ids, cwd: '/' });
    return true;
  } catch {
    return false;
  }
}

async function numericId(flag: '-u' | '-g', name: string): Promise<number | undefined> {
  try {
    const { stdout } = await run('id', [flag, name]);
    const id = Number(stdout.trim());
    return Number.isSafeInteger(id) ? id : undefined;
  } catch {
    return undefined;
  }
}
