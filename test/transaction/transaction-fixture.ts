import { DataSource } from 'typeorm';
import type { DatabaseOptions } from '../../libs/uow/src/database/database-options.js';
import { Database } from '../../libs/uow/src/database/database.js';
import type { StatementResult } from '../../libs/uow/src/database/statement.js';
import type { Warning } from '../../libs/uow/src/diagnostics/report.js';
import { ambientContext, ambientTransaction } from '../../libs/uow/src/transaction/ambient.js';
import type { TransactionOptions } from '../../libs/uow/src/transaction/transaction-definition.js';
import { TransactionManager } from '../../libs/uow/src/transaction/transaction-manager.js';
import { DataSourceConnections } from '../../libs/uow/src/typeorm/data-source-connections.js';
import { createTestDatabase } from '../support/test-database.js';
import type { TestDatabase } from '../support/test-database.js';
import { triedOptions } from '../support/tried-options.js';
import { startWireProxy } from '../support/wire-proxy.js';
import type { WireProxy } from '../support/wire-proxy.js';

/** The transaction room over a real server, with a proxy that reads along. No NestJS, no session. */
export interface TransactionFixture extends AsyncDisposable {
  readonly database: TestDatabase;
  readonly proxy: WireProxy;
  readonly dataSource: DataSource;
  readonly source: Database;
  readonly transactions: TransactionManager;
  readonly warnings: Warning[];
  /** Runs SQL in the transaction of the running code. */
  sql(text: string, values?: readonly unknown[]): Promise<StatementResult['rows']>;
  /** The values that everybody sees in the table `note`. */
  notes(): Promise<string[]>;
  /** Writes a row into `note` in the transaction of the running code. */
  note(value: string): Promise<void>;
  close(): Promise<void>;
}

export interface FixtureOptions {
  readonly poolSize?: number;
  readonly options?: Partial<DatabaseOptions>;
  readonly rootDefaults?: TransactionOptions;
  readonly schema?: string;
  /** Made already, on a server of the test's own. */
  readonly database?: TestDatabase;
  /** Settings of the driver's pool. */
  readonly extra?: object;
}

const NOTE = 'CREATE TABLE note (value text PRIMARY KEY)';

export async function transactionFixture(given: FixtureOptions = {}): Promise<TransactionFixture> {
  const schema = `${NOTE}; ${given.schema ?? ''}`;
  const database = given.database ?? (await createTestDatabase({ schema }));
  if (given.database !== undefined) await database.query(schema);
  const proxy = await startWireProxy(database);
  const dataSource = new DataSource({
    ...proxy.typeorm,
    entities: [],
    ...(given.extra === undefined ? {} : { extra: given.extra }),
    ...(given.poolSize === undefined ? {} : { poolSize: given.poolSize }),
  });
  await dataSource.initialize();
  const warnings: Warning[] = [];
  const source = new Database(
    'default',
    new DataSourceConnections(dataSource),
    { ...triedOptions, ...given.options },
    (warning) => warnings.push(warning),
  );
  const transactions = new TransactionManager();
  transactions.add(source, given.rootDefaults);
  proxy.clear();
  const close = async (): Promise<void> => {
    await dataSource.destroy();
    await proxy.close();
    if (given.database === undefined) await database.drop();
  };
  const sql = async (text: string, values?: readonly unknown[]): Promise<StatementResult['rows']> => {
    const transaction = ambientTransaction(source);
    const results =
      transaction === null
        ? await contextHere(source).borrow([{ text, values }], 'a test')
        : await transaction.run([{ text, values }]);
    return results[0]?.rows ?? [];
  };
  return {
    database,
    proxy,
    dataSource,
    source,
    transactions,
    warnings,
    sql,
    note: async (value) => {
      await sql('INSERT INTO note VALUES ($1)', [value]);
    },
    notes: async () => {
      const rows = await database.query<{ value: string }>('SELECT value FROM note ORDER BY value');
      return rows.map((row) => row.value);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

function contextHere(source: Database): NonNullable<ReturnType<typeof ambientContext>> {
  const context = ambientContext(source);
  if (context === null) throw new Error('The test runs outside every context');
  return context;
}

/** What a transcript is about here: the control statements and the writes, without their parameters. */
export function controls(sql: readonly string[]): string[] {
  return sql.map((text) => text.replace(/^INSERT INTO note VALUES \(\$1\)$/, 'write'));
}
