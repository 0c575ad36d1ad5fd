import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { asAdministrator, databasePrefix, testServer } from './test-server.js';
import type { ServerAddress } from './server-address.js';
import { prepareTemplate, type TemplateName } from './database-templates.js';

/**
 * A real database of a test's own.
 *
 * ```ts
 * let database: TestDatabase;
 * beforeAll(async () => { database = await createTestDatabase({ schema: 'CREATE TABLE note (id int PRIMARY KEY)' }); });
 * afterAll(async () => { await database.drop(); });
 *
 * const dataSource = new DataSource({ ...database.typeorm, entities: [Note] });
 * await database.query('SELECT * FROM note');   // what another connection sees
 * ```
 */
export interface TestDatabaseOptions {
  /** SQL run in it first; several statements are fine. */
  readonly schema?: string;
  /** What it is a copy of: 'empty' (default), or 'banking', migrated by the sample's migrations. */
  readonly template?: TemplateName;
}

/** One row of pg_stat_activity. */
export interface Activity {
  readonly pid: number;
  readonly applicationName: string;
  /** "active", "idle", "idle in transaction", "idle in transaction (aborted)", … */
  readonly state: string | null;
  /** The statement that runs, or ran last. */
  readonly query: string;
  /** What it waits for, for example "Lock" and "transactionid". */
  readonly waitEventType: string | null;
  readonly waitEvent: string | null;
  /** Whether a transaction is open. */
  readonly inTransaction: boolean;
}

/**
 * Makes a new database; a test file that wants one to itself calls this in `beforeAll` (some tens of milliseconds).
 */
export async function createTestDatabase(options: TestDatabaseOptions = {}): Promise<TestDatabase> {
  const name = `${databasePrefix()}${randomBytes(6).toString('hex')}`;
  const template = await prepareTemplate(options.template ?? 'empty');
  await asAdministrator(async (client) => {
    await client.query(`CREATE DATABASE ${name} TEMPLATE ${client.escapeIdentifier(template)}`);
  });
  const database = new TestDatabase(testServer().withDatabase(name));
  if (options.schema !== undefined) await database.query(options.schema);
  return database;
}

/** See {@link createTestDatabase}. */
export class TestDatabase implements AsyncDisposable {
  readonly #clients: pg.Client[] = [];
  #observer: Promise<pg.Client> | undefined;

  constructor(readonly address: ServerAddress) {}

  get name(): string {
    return this.address.database;
  }

  /** Connection string. */
  get url(): string {
    return this.address.url;
  }

  /** For `new DataSource({ ...database.typeorm, … })`. */
  get typeorm(): ServerAddress['typeorm'] {
    return this.address.typeorm;
  }

  /** For `new pg.Client(database.pg)`. */
  get pg(): ServerAddress['pg'] {
    return this.address.pg;
  }

  /** Runs SQL on a connection of its own, in autocommit, and gives the rows: what everybody else sees. */
  async query<Row extends pg.QueryResultRow = Record<string, unknown>>(
    sql: string,
    parameters?: readonly unknown[],
  ): Promise<Row[]> {
    this.#observer ??= this.connect('test observer');
    const result = await (await this.#observer).query<Row>(sql, parameters === undefined ? undefined : [...parameters]);
    return result.rows;
  }

  /** A further connection, for a test that needs a second party; ended by `drop` unless the test ends it. */
  async connect(applicationName = 'test'): Promise<pg.Client> {
    const client = new pg.Client({ ...this.pg, application_name: applicationName });
    // A test may have the server end it; an error event that nobody hears would end the process.
    client.on('error', () => undefined);
    this.#clients.push(client);
    await client.connect();
    return client;
  }

  /** The connections to this database, except the ones made by `query` and `connect`. */
  async activity(): Promise<Activity[]> {
    const own = this.#clients.map((client) => (client as unknown as { processID: number | null }).processID);
    return await this.query<Activity & pg.QueryResultRow>(
      `SELECT pid, application_name AS "applicationName", state, query, wait_event_type AS "waitEventType",
              wait_event AS "waitEvent", xact_start IS NOT NULL AS "inTransaction"
         FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> ALL ($1::int[])
        ORDER BY backend_start, pid`,
      [own.filter((pid) => pid !== null)],
    );
  }

  /**
   * Waits until the activity is as wanted, since the server notices an end a moment after the client.
   *
   * @param wanted for example `(rows) => rows.every((row) => !row.inTransaction)`
   * @param timeoutMs after which it throws, with what it saw last; milliseconds
   */
  async untilActivity(
    wanted: (rows: readonly Activity[]) => boolean,
    timeoutMs = 10_000,
  ): Promise<readonly Activity[]> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const rows = await this.activity();
      if (wanted(rows)) return rows;
      if (Date.now() > deadline) {
        throw new Error(`The database's activity did not become as wanted: ${JSON.stringify(rows, null, 2)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** Waits until nobody has a transaction open. */
  async untilNoTransaction(): Promise<void> {
    await this.untilActivity((rows) => rows.every((row) => !row.inTransaction));
  }

  /** Waits until nobody is connected. */
  async untilNoConnection(): Promise<void> {
    await this.untilActivity((rows) => rows.length === 0);
  }

  /** Ends its connections and removes it, also while others are still connected. */
  async drop(): Promise<void> {
    await Promise.all(this.#clients.map(async (client) => await client.end().catch(() => undefined)));
    await asAdministrator(async (client) => {
      await client.query(`DROP DATABASE IF EXISTS ${client.escapeIdentifier(this.name)} WITH (FORCE)`);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.drop();
  }
}
