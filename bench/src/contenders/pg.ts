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

/** Hand-written node-postgres: prepared statements, all writes of a transfer in one CTE. */
export async function open({ url, poolSize }: BenchAddress): Promise<BenchContender> {
  const pool = new pg.Pool({ connectionString: url, max: poolSize });

  async function transaction<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    const client = await pool.connect();
    try {
      await client.query('BEGIN');
      const result = await work(client);
      await client.query('COMMIT');
      return result;
    } catch (error) {
      await client.query('ROLLBACK');
      throw error;
    } finally {
      client.release();
    }
  }

  const loadMeasurements = async (count: number): Promise<unknown[]> =>
    (await pool.query(readMeasurements(count))).rows;
  return {
    transfer: (source, target, amount) =>
      transaction(async (client) => {
        const { rows } = await client.query<{ id: number; balance: number }>(lockAccounts(source, target));
        await client.query(writeTransfer(rows, source, target, amount));
      }),
    emptyTransaction: () => transaction(() => Promise.resolve()),
    insertFamilies: (parents, children) =>
      transaction(async (client) => {
        const { rows } = await client.query<{ id: number }>(insertParents(parents));
        await client.query(insertChildren(rows, children));
      }),
    changeMeasurements: (count) =>
      transaction(async (client) => {
        const { rows } = await client.query<{ id: number; quantity: number }>(readMeasurements(count));
        for (const row of rows) row.quantity += 1;
        await client.query(writeMeasurements(rows));
      }),
    loadMeasurements,
    // It writes nothing back by itself: there is nothing to leave out.
    loadMeasurementsReadOnly: loadMeasurements,
    loadFamilies: async () => {
      const [parents, children] = await Promise.all([
        pool.query({ name: 'parents', text: 'SELECT id, name FROM parent ORDER BY id' }),
        pool.query({ name: 'children', text: 'SELECT id, parent_id, position, label FROM child ORDER BY id' }),
      ]);
      const byId = new Map<number, { children: unknown[] }>();
      for (const parent of parents.rows) {
        parent.children = [];
        byId.set(parent.id, parent);
      }
      for (const child of children.rows) byId.get(child.parent_id)!.children.push(child);
      return parents.rows;
    },
    findAccounts: async (work) => {
      const client = await pool.connect();
      try {
        return await work(findInTurn((id) => client.query(findAccount(id))));
      } finally {
        client.release();
      }
    },
    close: () => pool.end(),
  };
}
