import { execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, constants, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { chown, mkdir, open, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Binaries } from './binaries.js';
import type { ControlDirectory } from './control-directory.js';
import { EmbeddedPostgresError } from './embedded-postgres-error.js';
import { identifyProcess, isAlive, type ProcessIdentity } from './process-identity.js';
import type { ServerUser } from './server-user.js';

const run = promisify(execFile);
const startTimeoutMs = 60_000;
const portAttempts = 10;

/** The only address that an embedded server listens on. */
export const host = '127.0.0.1';

/** The name of the one superuser of every embedded cluster. */
export const superuser = 'postgres';

/** Settings of the server by name, as in postgresql.conf. */
export type ServerSettings = Readonly<Record<string, string | number | boolean>>;

/** What postmaster.pid says of a server. */
export interface PostmasterFile {
  readonly pid: number;
  readonly port: number;
  /** "starting", "ready", "stopping", or "standby". */
  readonly status: string;
}

/**
 * Makes a cluster. It appears under its name only when it is whole, so that a process killed meanwhile leaves no
 * half-made one. Nothing depends on the machine's locale or time zone: UTF-8, builtin C.UTF-8, UTC.
 *
 * @throws EmbeddedPostgresError `INITDB_FAILED`
 */
export async function initializeCluster(options: {
  readonly binaries: Binaries;
  readonly user: ServerUser;
  readonly pgdata: string;
  readonly password: string;
  /** Whether the files must survive a crash of the machine. */
  readonly durable: boolean;
}): Promise<void> {
  const { binaries, user, pgdata, password } = options;
  const name = randomUUID();
  const draft = `${pgdata}.draft-${name}`;
  const passwordFile = `${pgdata}.password-${name}`;
  // What a killed process left; its initdb may still be writing, then a later start removes it.
  for (const left of await readdir(path.dirname(pgdata))) {
    if (!left.startsWith(`${path.basename(pgdata)}.`)) continue;
    await rm(path.join(path.dirname(pgdata), left), { recursive: true, force: true }).catch(() => undefined);
  }
  try {
    await mkdir(draft, { mode: 0o700 });
    await writeFile(passwordFile, `${password}\n`, { mode: 0o600, flag: 'wx' });
    if (user.ids !== undefined) {
      await chown(draft, user.ids.uid, user.ids.gid);
      await chown(passwordFile, user.ids.uid, user.ids.gid);
    }
    await run(
      binaries.initdb,
      [
        `--pgdata=${draft}`,
        `--username=${superuser}`,
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        // Iterations slow down guessing; a password of 192 random bits is not guessed, and every connection pays for them.
        '--set=scram_iterations=1',
        '--encoding=UTF8',
        '--no-locale',
        '--locale-provider=builtin',
        '--builtin-locale=C.UTF-8',
        '--no-instructions',
        ...(options.durable ? [] : ['--no-sync']),
      ],
      { ...user.ids, cwd: path.parse(pgdata).root, env: serverEnvironment() },
    );
    await rename(draft, pgdata);
  } catch (cause) {
    await rm(draft, { recursive: true, force: true });
    const output = (cause as { stderr?: string }).stderr?.trim();
    throw new EmbeddedPostgresError(
      'INITDB_FAILED',
      `Could not make a PostgreSQL cluster in ${pgdata} (as ${user.name}): ${output === undefined || output === '' ? String(cause) : output}`,
      { cause },
    );
  } finally {
    await rm(passwordFile, { force: true });
  }
}

/**
 * Starts the server in a session of its own, so that a Ctrl-C in the terminal reaches the application only, and waits
 * until it takes connections.
 *
 * @param options.preferredPorts tried first, in this order; then the system chooses
 * @throws EmbeddedPostgresError `START_FAILED`, with the end of the server's log
 */
export async function startServer(options: {
  readonly binaries: Binaries;
  readonly user: ServerUser;
  readonly pgdata: string;
  readonly control: ControlDirectory;
  readonly settings: ServerSettings;
  readonly preferredPorts: readonly number[];
  /** Told of the process as soon as there is one, before it is ready. */
  readonly onSpawn: (postmaster: ProcessIdentity, port: number) => void;
}): Promise<{ readonly postmaster: ProcessIdentity; readonly port: number }> {
  const ports = [...options.preferredPorts];
  for (let attempt = 1; ; attempt++) {
    const port = await freePort(ports.shift());
    const outcome = await startOnce(options, port);
    if (typeof outcome !== 'string') return { postmaster: outcome, port };
    // Between our look and the server's bind somebody else may have taken the port.
    const portTaken = /Address already in use|could not create any TCP\/IP sockets/.test(outcome);
    if (!portTaken || attempt >= portAttempts) {
      throw new EmbeddedPostgresError(
        'START_FAILED',
        `PostgreSQL did not start on the data in ${options.pgdata}. The end of ${options.control.logFile}:\n${outcome}`,
      );
    }
  }
}

/** Reads postmaster.pid; undefined when there is none, or when it is not written completely yet. */
export function readPostmasterFile(pgdata: string): PostmasterFile | undefined {
  let lines: string[];
  try {
    lines = readFileSync(path.join(pgdata, 'postmaster.pid'), 'utf8').split('\n');
  } catch {
    return undefined;
  }
  const [pid, port] = [Number(lines[0]), Number(lines[3])];
  // Its first line is the negative of the pid in a standalone backend.
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined;
  return { pid, port: Number.isSafeInteger(port) ? port : 0, status: lines[7]?.trim() ?? '' };
}

/**
 * Lets postmaster.pid name a process that cannot exist. PostgreSQL refuses to start while the process named there
 * lives, even if it is another program that got the pid; the rest of the file must stay, since by the shared memory
 * named in it PostgreSQL notices backends that outlived a killed postmaster.
 */
export function disownPostmasterFile(pgdata: string): void {
  // Root does this in a directory that belongs to the server's user: not through a link.
  const noFollow = process.platform === 'win32' ? 0 : constants.O_NOFOLLOW;
  const fd = openSync(path.join(pgdata, 'postmaster.pid'), constants.O_RDWR | noFollow);
  try {
    const [, ...rest] = readFileSync(fd, 'utf8').split('\n');
    ftruncateSync(fd);
    writeSync(fd, ['2147483647', ...rest].join('\n'), 0);
  } finally {
    closeSync(fd);
  }
}

/**
 * Stops a server and waits until it is gone.
 *
 * @param how `fast` ends sessions and writes everything out; `immediate` gives the data up
 * @throws EmbeddedPostgresError `STOP_FAILED` when it still runs after 40 s
 */
export async function stopServer(postmaster: ProcessIdentity, how: 'fast' | 'immediate'): Promise<void> {
  if (!isAlive(postmaster)) return;
  if (how === 'fast') {
    signalServer(postmaster, 'fast');
    if (await gone(postmaster, 30_000)) return;
  }
  signalServer(postmaster, 'immediate');
  if (await gone(postmaster, 10_000)) return;
  throw new EmbeddedPostgresError('STOP_FAILED', `The PostgreSQL server (process ${postmaster.pid}) does not stop.`);
}

/** Tells a server to stop, without waiting. */
export function signalServer(postmaster: ProcessIdentity, how: 'fast' | 'immediate'): void {
  if (!isAlive(postmaster)) return;
  try {
    process.kill(postmaster.pid, how === 'fast' ? 'SIGINT' : 'SIGQUIT');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

async function gone(postmaster: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  while (isAlive(postmaster)) {
    if (Date.now() > deadline) return false;
    await sleep(20);
  }
  return true;
}

/** Returns the process, or the server's last words. */
async function startOnce(options: Parameters<typeof startServer>[0], port: number): Promise<ProcessIdentity | string> {
  const { binaries, user, pgdata, control, settings } = options;
  const log = control.openLog();
  const all: ServerSettings = {
    listen_addresses: host,
    unix_socket_directories: '',
    // TypeORM and pg read timestamps by it; a fixed one makes machines alike.
    timezone: 'UTC',
    ...settings,
    port,
  };
  const flags = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${String(value)}`]);
  let exited: string | undefined;
  const child = spawn(binaries.postgres, ['-D', pgdata, ...flags], {
    ...user.ids,
    cwd: path.parse(pgdata).root,
    env: serverEnvironment(),
    detached: true,
    windowsHide: true,
    stdio: ['ignore', log.fd, log.fd],
  });
  closeSync(log.fd);
  child.once('error', (error) => (exited ??= error.message));
  child.once('exit', (code, signal) => (exited ??= `(exited with ${signal ?? code ?? '?'})`));
  child.unref();
  const postmaster = child.pid === undefined ? undefined : identifyProcess(child.pid);
  if (postmaster !== undefined) options.onSpawn(postmaster, port);
  const deadline = Date.now() + startTimeoutMs;
  while (exited === undefined && Date.now() < deadline) {
    const file = readPostmasterFile(pgdata);
    if (postmaster !== undefined && file?.pid === postmaster.pid && file.status === 'ready') return postmaster;
    await sleep(10);
  }
  if (exited === undefined && postmaster !== undefined) await stopServer(postmaster, 'immediate');
  const words = await readFrom(control.logFile, log.start);
  return `${words.slice(-4_000)}${exited ?? `(not ready after ${startTimeoutMs / 1000} s)`}`;
}

async function readFrom(file: string, start: number): Promise<string> {
  const handle = await open(file).catch(() => undefined);
  if (handle === undefined) return '';
  try {
    const { size } = await handle.stat();
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(Math.max(0, size - start)), 0, null, start);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** The preferred port if nobody listens on it, else one that the system gives. */
async function freePort(preferred?: number): Promise<number> {
  if (preferred !== undefined && preferred > 0) {
    const bound = await bind(preferred);
    if (bound !== undefined) return bound;
  }
  const bound = await bind(0);
  if (bound === undefined) throw new EmbeddedPostgresError('START_FAILED', `No TCP port is free on ${host}.`);
  return bound;
}

async function bind(port: number): Promise<number | undefined> {
  return await new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => {
      resolve(undefined);
    });
    server.listen({ port, host, exclusive: true }, () => {
      const address = server.address();
      server.close(() => {
        resolve(typeof address === 'object' ? address?.port : undefined);
      });
    });
  });
}

/** Nothing of the application's environment (PGOPTIONS, LC_ALL, TZ) may change what the server does. */
function serverEnvironment(): NodeJS.ProcessEnv {
  const { PATH, SystemRoot, TEMP } = process.env;
  return { PATH, ...(process.platform === 'win32' && { SystemRoot, TEMP }), LC_ALL: 'C', TZ: 'UTC' };
}
