import { stat } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { ClusterRecord } from './control-directory.js';
import { EmbeddedPostgresError } from './embedded-postgres-error.js';
import { identifyProcess, isZombie, type ProcessIdentity } from './process-identity.js';
import { disownPostmasterFile, host, readPostmasterFile, superuser, type PostmasterFile } from './server-process.js';

/** A server that takes connections. */
export interface RunningServer {
  readonly postmaster: ProcessIdentity;
  readonly port: number;
}

const patienceMs = 60_000;
const refusalsOfReadyServer = 50;

/**
 * Looks for a server that already runs on the data: other processes' one, or one whose processes were killed. Waits for
 * one that is still starting or stopping. A postmaster.pid that only seems to name a server, because another program
 * has got the pid since, is made harmless.
 *
 * @throws EmbeddedPostgresError `START_FAILED` when the process named there cannot be told from a server that hangs
 */
export async function findRunningServer(pgdata: string, record: ClusterRecord): Promise<RunningServer | undefined> {
  const deadline = Date.now() + patienceMs;
  for (let refusals = 0; ;) {
    const file = readPostmasterFile(pgdata);
    if (file === undefined) return undefined;
    const postmaster = identifyProcess(file.pid);
    if (postmaster === undefined) {
      // In a container without an init process the dead stay listed, and PostgreSQL takes them for living.
      if (isZombie(file.pid)) disownPostmasterFile(pgdata);
      return undefined;
    }
    const known = record.postmaster?.pid === postmaster.pid ? record.postmaster : undefined;
    const answer =
      known !== undefined && known.started !== postmaster.started ? 'other' : await ask(record, pgdata, file);
    if (answer === 'ours' || (answer === 'full' && known !== undefined)) return { postmaster, port: file.port };
    if (answer === 'other') {
      disownPostmasterFile(pgdata);
      return undefined;
    }
    if (file.status === 'ready') refusals++;
    if (refusals > refusalsOfReadyServer || Date.now() > deadline) {
      throw new EmbeddedPostgresError(
        'START_FAILED',
        `${path.join(pgdata, 'postmaster.pid')} names process ${file.pid}, which lives but does not answer as the server of this data on port ${file.port}. If it is a PostgreSQL that hangs, end it; if it is another program, remove that file.`,
      );
    }
    await sleep(100);
  }
}

/** Whose server answers on that port: ours knows the password and works in this directory. */
async function ask(
  record: ClusterRecord,
  pgdata: string,
  file: PostmasterFile,
): Promise<'ours' | 'other' | 'full' | 'silent'> {
  const client = new pg.Client({
    host,
    port: file.port,
    user: superuser,
    password: record.password,
    database: 'postgres',
    connectionTimeoutMillis: 5_000,
    ssl: false,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rows } = await client.query<{ directory: string }>(`SELECT current_setting('data_directory') AS directory`);
    const own = await identity(pgdata);
    // The second is for a directory that was renamed under its running server.
    const its = (await identity(rows[0]?.directory ?? '')) ?? (await identity(`/proc/${file.pid}/cwd`));
    if (its === undefined) return 'silent';
    // A clone that was copied while its server ran has that server's postmaster.pid, and the same password.
    return its === own ? 'ours' : 'other';
  } catch (error) {
    return (error as { code?: string }).code === '53300' ? 'full' : 'silent';
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function identity(directory: string): Promise<string | undefined> {
  const found = await stat(directory).catch(() => undefined);
  return found === undefined ? undefined : `${found.dev}/${found.ino}`;
}
