import type { DataSourceOptions } from 'typeorm';
import { Account } from '../accounts/account.entity.js';
import { Customer } from '../customers/customer.entity.js';
import { IdempotencyRecord } from '../idempotency/idempotency-record.entity.js';
import { LedgerEntry } from '../transfers/ledger-entry.entity.js';
import { Transfer } from '../transfers/transfer.entity.js';
import { OpenTheBank1763800000000 } from './migrations/1763800000000-open-the-bank.js';

/** Where the bank's PostgreSQL is: one URL, or the parts of one. */
export type DatabaseConnection =
  | { readonly url: string }
  | {
      readonly host: string;
      readonly port: number;
      readonly username?: string;
      readonly user?: string;
      readonly password?: string;
      readonly database: string;
    };

/** Every entity of the bank. */
export const entities = [Customer, Account, Transfer, LedgerEntry, IdempotencyRecord];

/** Every migration of the bank, oldest first. */
export const migrations = [OpenTheBank1763800000000];

/** What both the application and the migrations tell TypeORM. The schema is made by migrations alone. */
export function dataSourceOptions(connection: DatabaseConnection): DataSourceOptions & { type: 'postgres' } {
  return {
    type: 'postgres',
    ...address(connection),
    entities,
    migrations,
    synchronize: false,
    migrationsRun: false,
    // The schema asks for no extension, and the bank's role may not be allowed to create one.
    installExtensions: false,
  };
}

function address(connection: DatabaseConnection) {
  if ('url' in connection) return { url: connection.url };
  const { host, port, database, password } = connection;
  const username = connection.username ?? connection.user;
  return {
    host,
    port,
    database,
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
  };
}
