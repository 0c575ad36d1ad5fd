import { spawn } from 'node:child_process';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Socket } from 'node:net';
import { EmbeddedPostgresError } from './embedded-postgres-error.js';
import { canEnter, chooseServerUser } from './server-user.js';

/** Deletes the cluster once its standard input ends, which the system sees to even when our process is killed. */
const watcher = `
read -r _
pid=$(head -n 1 "$2/postmaster.pid" 2>/dev/null) && [ "$pid" -gt 1 ] && kill -QUIT "$pid" 2>/dev/null && {
  tries=0
  while kill -0 "$pid" 2>/dev/null && [ "$tries" -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
  kill -KILL "$pid" 2>/dev/null
}
rm -rf -- "$1"
`;

/**
 * A new directory for a throwaway cluster, at a place where the server's user can reach it.
 *
 * @throws EmbeddedPostgresError `DIRECTORY_NOT_USABLE`
 */
export async function makeEphemeralDirectory(): Promise<string> {
  const user = await chooseServerUser();
  const parents = [...new Set([tmpdir(), ...(process.platform === 'win32' ? [] : ['/tmp', '/var/tmp'])])];
  for (const parent of parents) {
    const directory = await mkdtemp(path.join(parent, 'nestjs-uow-pg-')).catch(() => undefined);
    if (directory === undefined) continue;
    await chmod(directory, 0o711);
    if (await canEnter(user, directory)) return directory;
    await rm(directory, { recursive: true });
  }
  throw new EmbeddedPostgresError(
    'DIRECTORY_NOT_USABLE',
    `None of the directories for temporary files (${parents.join(', ')}) can be reached by PostgreSQL's user (${user.name}).`,
  );
}

/**
 * Sees to it that a throwaway cluster disappears with this process, however it ends.
 *
 * @param directory deleted
 * @param pgdata the data inside; the server that runs on it is ended first
 */
export function watchOver(directory: string, pgdata: string): void {
  if (process.platform === 'win32') return;
  const child = spawn('/bin/sh', ['-c', watcher, 'sh', directory, pgdata], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  child.on('error', () => undefined);
  child.unref();
  // Neither may keep this process alive.
  (child.stdin as Socket).unref();
}
