import { randomBytes } from 'node:crypto';
import { startEmbeddedPostgres } from '@nestjs-uow/embedded-postgres';
import pg from 'pg';
import { ServerAddress } from './server-address.js';

/**
 * The PostgreSQL of one run of tests or benchmarks: a throwaway cluster tuned for speed, or the server that
 * DATABASE_URL names. jest's global setup starts it; the workers find it by the environment.
 *
 * All databases of a run have names that begin with `uow_<run>_`, so that runs on one server do not meet and a run
 * takes away exactly its own.
 */
const serverVariable = 'UOW_TEST_SERVER';
const runVariable = 'UOW_TEST_RUN';

/** Starts the server and makes it known to this process and those that it forks. Returns what stops it. */
export async function startTestServer(): Promise<() => Promise<void>> {
  const run = randomBytes(4).toString('hex');
  const given = process.env['DATABASE_URL'];
  const embedded =
    given === undefined || given === ''
      ? await startEmbeddedPostgres({
          settings: {
            // Nothing in it is meant to survive a crash.
            fsync: false,
            synchronous_commit: false,
            full_page_writes: false,
            wal_level: 'minimal',
            max_wal_senders: 0,
            autovacuum: false,
            max_connections: 200,
            max_prepared_transactions: 20,
            shared_buffers: '64MB',
            // Tests provoke errors on purpose.
            log_min_messages: 'fatal',
            log_checkpoints: false,
          },
        })
      : undefined;
  process.env[serverVariable] = embedded?.url() ?? given;
  process.env[runVariable] = run;
  return async () => {
    if (embedded === undefined) await dropDatabasesOf(run);
    else await embedded.stop();
  };
}

/** The server of this run, at its maintenance database. */
export function testServer(): ServerAddress {
  const url = process.env[serverVariable];
  if (url === undefined) {
    throw new Error(
      'No test server runs: jest starts one in its global setup; elsewhere call startTestServer() first.',
    );
  }
  return new ServerAddress(url);
}

/** What the names of all databases of this run begin with. */
export function databasePrefix(): string {
  return `uow_${process.env[runVariable] ?? 'none'}_`;
}

/** Runs one thing on a connection of its own to the maintenance database. */
export async function asAdministrator<T>(fn: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ ...testServer().pg, application_name: 'test administrator' });
  await client.connect();
  try {
    return await fn(client);
  } finally {
    await client.end();
  }
}

async function dropDatabasesOf(run: string): Promise<void> {
  await asAdministrator(async (client) => {
    const { rows } = await client.query<{ datname: string }>(
      `SELECT datname FROM pg_database WHERE starts_with(datname, $1)`,
      [`uow_${run}_`],
    );
    for (const { datname } of rows)
      await client.query(`DROP DATABASE ${client.escapeIdentifier(datname)} WITH (FORCE)`);
  });
}
