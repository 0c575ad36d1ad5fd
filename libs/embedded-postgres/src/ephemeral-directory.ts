import { spawn } from 'node:child_process';
import { chmod, lstat, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Socket } from 'node:net';
import { ControlDirectory } from './control-directory.js';
import { EmbeddedPostgresError } from './embedded-postgres-error.js';
import { stopServer } from './server-process.js';
import { canEnter, chooseServerUser } from './server-user.js';

const prefix = 'nestjs-uow-pg-';
const abandonedAfterMs = 600_000;

/**
 * Deletes the cluster once its standard input ends, which the system sees to even when our process is killed. An initdb
 * that was at work goes on for a moment and writes behind the deletion, so that is repeated.
 */
const watcher = `
read -r _
pid=$(head -n 1 "$2/postmaster.pid" 2>/dev/null) && [ "$pid" -gt 1 ] && kill -QUIT "$pid" 2>/dev/null && {
  tries=0
  while kill -0 "$pid" 2>/dev/null && [ "$tries" -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
  kill -KILL "$pid" 2>/dev/null
}
tries=0
while rm -rf -- "$1" 2>/dev/null; [ -e "$1" ] && [ "$tries" -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
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
    const directory = await mkdtemp(path.join(parent, prefix)).catch(() => undefined);
    if (directory === undefined) continue;
    await removeAbandoned(parent).catch(() => undefined);
    await chmod(directory, 0o711);
    if (await canEnter(user, directory)) return directory;
    await rm(directory, { recursive: true });
  }
  throw new EmbeddedPostgresError(
    'DIRECTORY_NOT_USABLE',
    `None of the directories for temporary files (${parents.join(', ')}) can be reached by PostgreSQL's user (${user.name}).`,
  );
}

/** Removes throwaway clusters of this user that nobody is left to remove: their watcher went down with the machine. */
async function removeAbandoned(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    if (!name.startsWith(prefix)) continue;
    const directory = path.join(parent, name);
    const found = await lstat(directory);
    if (!found.isDirectory() || found.uid !== (process.getuid?.() ?? found.uid)) continue;
    // One that is just being made has no holder yet.
    if (Date.now() - found.mtimeMs < abandonedAfterMs) continue;
    const control = new ControlDirectory(directory);
    if (!control.abandoned) continue;
    const postmaster = control.readRecord()?.postmaster;
    if (postmaster !== undefined) await stopServer(postmaster, 'immediate');
    await rm(directory, { recursive: true, force: true });
  }
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
