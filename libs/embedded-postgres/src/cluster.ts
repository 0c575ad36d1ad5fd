import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { findBinaries } from './binaries.js';
import { ClusterHold } from './cluster-hold.js';
import { ControlDirectory, type ClusterRecord } from './control-directory.js';
import { findData, placeData } from './data-location.js';
import { EmbeddedPostgresError } from './embedded-postgres-error.js';
import { makeEphemeralDirectory, watchOver } from './ephemeral-directory.js';
import { findRunningServer, type RunningServer } from './running-server.js';
import { host, initializeCluster, startServer, superuser, type ServerSettings } from './server-process.js';

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

/**
 * Starts a PostgreSQL server from npm, or joins the one that already runs on the same data.
 *
 * @returns once connections are accepted
 * @throws EmbeddedPostgresError saying what is missing and what to do
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions = {}): Promise<EmbeddedPostgres> {
  const ephemeral = options.dataDirectory === undefined;
  const control = new ControlDirectory(
    options.dataDirectory === undefined ? await makeEphemeralDirectory() : path.resolve(options.dataDirectory),
  );
  // Held from before the server exists, so that whatever ends this process on the way also ends the server.
  const hold = new ClusterHold(control, ephemeral, options.handleSignals ?? true);
  try {
    const { record, server, adopted } = await control.exclusively(async () => await startOrJoin(control, options));
    hold.hasServer(server.postmaster);
    const { password } = record;
    return {
      host,
      port: server.port,
      user: superuser,
      password,
      version: record.version ?? 'unknown',
      adopted,
      pid: server.postmaster.pid,
      // node-postgres reads the name with decodeURI, which leaves some escapes of encodeURIComponent as they are.
      url: (database = 'postgres') =>
        `postgres://${superuser}:${password}@${host}:${server.port}/${encodeURI(database)}`,
      stop: async () => {
        await hold.leave();
      },
    };
  } catch (error) {
    await hold.leave();
    throw error;
  }
}

interface Joined {
  readonly record: ClusterRecord;
  readonly server: RunningServer;
  readonly adopted: boolean;
}

async function startOrJoin(control: ControlDirectory, options: EmbeddedPostgresOptions): Promise<Joined> {
  const record = control.readRecord();
  const pgdata = await findData(control.directory);
  if (record !== undefined) {
    const server = await findRunningServer(pgdata, record);
    if (server !== undefined) {
      // Whoever leaves last stops the server that the record names.
      control.writeRecord({ ...record, ...server });
      options.log?.(
        `joined PostgreSQL ${record.version ?? ''} on ${host}:${server.port} (process ${server.postmaster.pid})`,
      );
      return { record, server, adopted: true };
    }
  }
  return { ...(await start(control, options, record)), adopted: false };
}

async function start(
  control: ControlDirectory,
  options: EmbeddedPostgresOptions,
  known: ClusterRecord | undefined,
): Promise<Omit<Joined, 'adopted'>> {
  const { directory } = control;
  const ephemeral = options.dataDirectory === undefined;
  const { pgdata, user } = await placeData(directory);
  const binaries = await findBinaries(user);
  let record: ClusterRecord = {
    password: known?.password ?? randomBytes(24).toString('hex'),
    version: binaries.version,
  };
  if (ephemeral) watchOver(directory, pgdata);
  if (existsSync(path.join(pgdata, 'PG_VERSION'))) {
    requireMajor(binaries.major, pgdata, directory);
    if (known === undefined) {
      throw new EmbeddedPostgresError(
        'DIRECTORY_NOT_USABLE',
        `${directory} has data, but not the file server.json with its password. Restore that file, or remove the directory to begin with an empty database.`,
      );
    }
  } else {
    options.log?.(`making a PostgreSQL ${binaries.version} cluster in ${pgdata}`);
    control.writeRecord(record);
    await initializeCluster({ binaries, user, pgdata, password: record.password, durable: !ephemeral });
  }
  const preferredPorts = [options.port, ...(ephemeral ? [] : [known?.port, 5432])].filter((port) => port !== undefined);
  const server = await startServer({
    binaries,
    user,
    pgdata,
    control,
    settings: options.settings ?? {},
    preferredPorts,
    onSpawn: (postmaster, port) => {
      record = { ...record, port, postmaster };
      control.writeRecord(record);
    },
  });
  options.log?.(`PostgreSQL ${binaries.version} listens on ${host}:${server.port} (process ${server.postmaster.pid})`);
  return { record, server };
}

function requireMajor(major: number, pgdata: string, directory: string): void {
  const found = readFileSync(path.join(pgdata, 'PG_VERSION'), 'utf8').trim();
  if (found === String(major)) return;
  throw new EmbeddedPostgresError(
    'OTHER_MAJOR_VERSION',
    `The data in ${directory} was made by PostgreSQL ${found}, and this is PostgreSQL ${major}, which cannot read it. Either remove ${directory}${pgdata.startsWith(directory) ? '' : ` and ${path.dirname(pgdata)}`} to begin with an empty database, or dump it with a PostgreSQL ${found} and restore it, or set DATABASE_URL to a PostgreSQL ${found} that serves it.`,
  );
}
