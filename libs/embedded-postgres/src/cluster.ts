import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { findBinaries } from './binaries.js';
import { ControlDirectory, type ClusterRecord } from './control-directory.js';
import { chooseDataLocation } from './data-location.js';
import { EmbeddedPostgresError } from './embedded-postgres-error.js';
import { makeEphemeralDirectory, watchOver } from './ephemeral-directory.js';
import { whenProcessEnds } from './process-end.js';
import { identifyProcess, isAlive, type ProcessIdentity } from './process-identity.js';
import {
  disownPostmasterFile,
  initializeCluster,
  readPostmasterFile,
  signalServer,
  startServer,
  stopServer,
  superuser,
  type ServerSettings,
} from './server-process.js';
import { chooseServerUser } from './server-user.js';

/** What to start. */
export interface EmbeddedPostgresOptions {
  /**
   * Where the cluster's data is kept between runs; made if missing. Processes that name the same directory share one
   * server. Left out, the cluster is a throwaway one of this process alone, deleted when it stops, also after a kill.
   */
  readonly dataDirectory?: string;
  /** TCP port to take if it is free. Default: for kept data the port of the last run, else 5432; for throwaway data any. */
  readonly port?: number;
  /** Server settings as in postgresql.conf; they count only for the process that starts the server, not when joining. */
  readonly settings?: ServerSettings;
  /** Told, in one line each, what is done. */
  readonly log?: (line: string) => void;
  /**
   * Whether to stop the server when this process gets SIGINT, SIGTERM or SIGHUP and nobody else listens for that
   * signal (then the process still ends by it). Default true. Where others listen, they are expected to call `stop`;
   * at `process.exit` the server is stopped in any case.
   */
  readonly handleSignals?: boolean;
}

/** A running server, and this process's hold on it. */
export interface EmbeddedPostgres {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  /** For example "18.4". */
  readonly version: string;
  /** Whether the server ran already: another process's, or one whose processes were killed. */
  readonly adopted: boolean;
  /** Process id of the server. */
  readonly pid: number;
  /** Connection string for a database. Default: the maintenance database `postgres`. */
  url(database?: string): string;
  /**
   * Leaves. The last process to leave stops the server, and a throwaway cluster is deleted. Calling it again waits for
   * the same end.
   */
  stop(): Promise<void>;
}

interface Running {
  readonly postmaster: ProcessIdentity;
  readonly port: number;
  readonly version: string;
}

const host = '127.0.0.1';

/**
 * Starts a PostgreSQL server from npm, or joins the one that already runs on the same data.
 *
 * @returns once connections are accepted
 * @throws EmbeddedPostgresError saying what is missing and what to do
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions = {}): Promise<EmbeddedPostgres> {
  const ephemeral = options.dataDirectory === undefined;
  const directory = ephemeral ? await makeEphemeralDirectory() : path.resolve(options.dataDirectory);
  const control = new ControlDirectory(directory);
  try {
    return await control.exclusively(async () => await startOrAdopt(control, ephemeral, options));
  } catch (error) {
    if (ephemeral) await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

async function startOrAdopt(
  control: ControlDirectory,
  ephemeral: boolean,
  options: EmbeddedPostgresOptions,
): Promise<EmbeddedPostgres> {
  const log = options.log ?? ((): void => undefined);
  const known = control.readRecord();
  const found = known === undefined ? undefined : await findRunning(known);
  const adopted = known !== undefined && found !== undefined;
  const { record, running } = adopted
    ? { record: known, running: found }
    : await start(control, ephemeral, options, known, log);
  if (adopted) {
    log(
      `joined the PostgreSQL ${running.version} that runs on port ${running.port} (process ${running.postmaster.pid})`,
    );
  }
  return holdOn(control, record, running, { adopted, ephemeral, handleSignals: options.handleSignals ?? true });
}

async function start(
  control: ControlDirectory,
  ephemeral: boolean,
  options: EmbeddedPostgresOptions,
  known: ClusterRecord | undefined,
  log: (line: string) => void,
): Promise<{ record: ClusterRecord; running: Running }> {
  const { pgdata, user } = await chooseDataLocation(control.directory, chooseServerUser);
  const binaries = await findBinaries(user);
  let record: ClusterRecord = known ?? { password: randomBytes(24).toString('hex'), pgdata };
  if (existsSync(path.join(pgdata, 'PG_VERSION'))) {
    requireMajor(binaries.major, pgdata, control.directory);
    if (known === undefined) {
      throw new EmbeddedPostgresError(
        'DIRECTORY_NOT_USABLE',
        `${control.directory} has data but not the file server.json with its password. Restore the file, or remove the directory to begin with an empty database.`,
      );
    }
  } else {
    log(`making a PostgreSQL ${binaries.version} cluster in ${pgdata}`);
    record = { password: record.password, pgdata };
    control.writeRecord(record);
    await initializeCluster({ binaries, user, pgdata, password: record.password, durable: !ephemeral });
  }
  const preferredPorts = [options.port, ...(ephemeral ? [] : [known?.port, 5432])].filter((port) => port !== undefined);
  if (ephemeral) watchOver(control.directory, pgdata);
  const started = await startServer({
    binaries,
    user,
    pgdata,
    control,
    settings: options.settings ?? {},
    preferredPorts,
    onSpawn: (postmaster, port) => {
      record = { ...record, pgdata, port, postmaster };
      control.writeRecord(record);
    },
  });
  log(`PostgreSQL ${binaries.version} listens on ${host}:${started.port} (process ${started.postmaster.pid})`);
  return { record, running: { ...started, version: binaries.version } };
}

/**
 * Looks for a server that runs on the data: one of other processes, or one whose processes were killed. Waits for one
 * that is still starting or stopping.
 */
async function findRunning(record: ClusterRecord): Promise<Running | undefined> {
  const deadline = Date.now() + 60_000;
  let refusals = 0;
  for (;;) {
    const file = readPostmasterFile(record.pgdata);
    if (file === undefined) return undefined;
    const postmaster = identifyProcess(file.pid);
    if (postmaster === undefined) return undefined;
    const known = record.postmaster;
    if (known?.pid === postmaster.pid && known.started !== postmaster.started) {
      disownPostmasterFile(record.pgdata);
      return undefined;
    }
    const version = await askVersion(record, file.port);
    if (version !== undefined) return { postmaster, port: file.port, version };
    refusals += file.status === 'ready' ? 1 : 0;
    if (refusals > 50 || Date.now() > deadline) {
      throw new EmbeddedPostgresError(
        'START_FAILED',
        `${path.join(record.pgdata, 'postmaster.pid')} names process ${file.pid}, which lives but does not answer as the server of this data on port ${file.port}. If it is a PostgreSQL that hangs, end it; if it is another program, remove that file.`,
      );
    }
    await sleep(100);
  }
}

/** The version of the server on that port if it is the one of this data: it knows the password and names the directory. */
async function askVersion(record: ClusterRecord, port: number): Promise<string | undefined> {
  const client = new pg.Client({
    host,
    port,
    user: superuser,
    password: record.password,
    database: 'postgres',
    connectionTimeoutMillis: 5_000,
    ssl: false,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rows } = await client.query<{ directory: string; version: string }>(
      `SELECT current_setting('data_directory') AS directory, current_setting('server_version') AS version`,
    );
    const row = rows[0];
    return row !== undefined && path.resolve(row.directory) === path.resolve(record.pgdata) ? row.version : undefined;
  } catch {
    return undefined;
  } finally {
    await client.end().catch(() => undefined);
  }
}

function requireMajor(major: number, pgdata: string, directory: string): void {
  const found = Number.parseInt(readFileSync(path.join(pgdata, 'PG_VERSION'), 'utf8'), 10);
  if (found === major) return;
  throw new EmbeddedPostgresError(
    'OTHER_MAJOR_VERSION',
    `The data in ${directory} was made by PostgreSQL ${found}, and this is PostgreSQL ${major}, which cannot read it. Either remove ${directory} to begin with an empty database, or dump it with a PostgreSQL ${found} and restore it, or set DATABASE_URL to a PostgreSQL ${found} that runs on it.`,
  );
}

function holdOn(
  control: ControlDirectory,
  record: ClusterRecord,
  running: Running,
  how: { readonly adopted: boolean; readonly ephemeral: boolean; readonly handleSignals: boolean },
): EmbeddedPostgres {
  const leave = control.enter();
  const { password } = record;
  const mode = how.ephemeral ? 'immediate' : 'fast';
  let stopped: Promise<void> | undefined;

  const stop = async (): Promise<void> => {
    forget();
    await control.exclusively(async () => {
      leave();
      if (control.holders().length > 0) return;
      if (isAlive(running.postmaster)) await stopServer(running.postmaster, mode);
    });
    if (how.ephemeral) await rm(control.directory, { recursive: true, force: true, maxRetries: 5 });
  };
  const stopNow = (): void => {
    control.exclusivelySync(() => {
      leave();
      if (control.holders().length === 0) signalServer(running.postmaster, mode);
    });
    // Its server may still be writing; what remains is deleted by the one that watches over it.
    if (how.ephemeral) rmSync(path.join(control.directory, 'holders'), { recursive: true, force: true });
  };
  const forget = whenProcessEnds({
    stop: async () => await (stopped ??= stop()),
    stopNow,
    handleSignals: how.handleSignals,
  });

  return {
    host,
    port: running.port,
    user: superuser,
    password,
    version: running.version,
    adopted: how.adopted,
    pid: running.postmaster.pid,
    url: (database = 'postgres') =>
      `postgres://${superuser}:${password}@${host}:${running.port}/${encodeURIComponent(database)}`,
    stop: async () => await (stopped ??= stop()),
  };
}
