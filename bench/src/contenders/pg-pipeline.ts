import pg from 'pg';
import type { BenchAddress, BenchContender } from './contender.js';
import { findInTurn } from './find-in-turn.js';
import {
  findAccount,
  insertChildren,
  insertParents,
  lockAccounts,
  readMeasurements,
  writeMeasurements,
  writeTransfer,
} from './pg-statements.js';

/**
 * The same by hand with node-postgres' `pipeline` option: BEGIN travels with the first statement, the last writes with
 * COMMIT. Near the physical limit, and without a net: each statement has a Sync of its own.
 */
export async function open({ url, poolSize }: BenchAddress): Promise<BenchContender> {
  const pool = new pg.Pool({ connectionString: url, max: poolSize, pipeline: true });

  async function withClient<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    const client = await pool.connect();
    try {
      return await work(client);
    } catch (error) {
      await client.query('ROLLBACK');
      throw error;
    } finally {
      client.release();
    }
  }

  return {
    transfer: (source, target, amount) =>
      withClient(async (client) => {
        const [, { rows }] = await Promise.all([
          client.query('BEGIN'),
          client.query<{ id: number; balance: number }>(lockAccounts(source, target)),
        ]);
        await Promise.all([client.query(writeTransfer(rows, source, target, amount)), client.query('COMMIT')]);
      }),
    emptyTransaction: () => withClient((client) => Promise.all([client.query('BEGIN'), client.query('COMMIT')])),
    insertFamilies: (parents, children) =>
      withClient(async (client) => {
        const [, { rows }] = await Promise.all([
          client.query('BEGIN'),
          client.query<{ id: number }>(insertParents(parents)),
        ]);
        await Promise.all([client.query(insertChildren(rows, children)), client.query('COMMIT')]);
      }),
    changeMeasurements: (count) =>
      withClient(async (client) => {
        const [, { rows }] = await Promise.all([
          client.query('BEGIN'),
          client.query<{ id: number; quantity: number }>(readMeasurements(count)),
        ]);
        for (const row of rows) row.quantity += 1;
        await Promise.all([client.query(writeMeasurements(rows)), client.query('COMMIT')]);
      }),
    findAccounts: (work) => withClient((client) => work(findInTurn((id) => client.query(findAccount(id))))),
    close: () => pool.end(),
  };
}
