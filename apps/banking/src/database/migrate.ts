import { DataSource } from 'typeorm';
import { type DatabaseConnection, dataSourceOptions } from './data-source-options.js';

/** Known to every process of the bank, and to nobody else in its database: 'bank' in ASCII. */
const MIGRATION_LOCK = 0x62616e6b;

/**
 * Brings the schema up to date and leaves no connection behind. Safe when several processes start at once: one
 * migrates, the others wait for it and then find nothing left to do.
 */
export async function migrate(connection: DatabaseConnection): Promise<void> {
  const dataSource = new DataSource({
    ...dataSourceOptions(connection),
    applicationName: 'banking migrations',
    // One connection holds the lock, the other one migrates.
    poolSize: 2,
  });
  await dataSource.initialize();
  try {
    const lock = dataSource.createQueryRunner();
    try {
      await lock.query('select pg_advisory_lock($1)', [MIGRATION_LOCK]);
      await dataSource.runMigrations({ transaction: 'each' });
    } finally {
      await lock.query('select pg_advisory_unlock($1)', [MIGRATION_LOCK]).catch(() => undefined);
      await lock.release();
    }
  } finally {
    // Ends the connections, and with them a lock that could not be given back.
    await dataSource.destroy();
  }
}
