import pg from 'pg';
import type { ProbeDatabase, ProbeSubject } from '../subject.js';

/** Hand-written node-postgres, in the shape that its documentation shows. */
export async function open({ url, poolSize }: ProbeDatabase): Promise<ProbeSubject<pg.PoolClient>> {
  const pool = new pg.Pool({ connectionString: url, max: poolSize });
  pool.on('error', () => undefined);

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

  return {
    transaction,
    requiresNew: transaction,
    write: async (client, value) => {
      await client.query('INSERT INTO note (value) VALUES ($1)', [value]);
    },
    sees: async (client, value) => {
      const { rowCount } = await client.query('SELECT FROM note WHERE value = $1', [value]);
      return rowCount === 1;
    },
    close: async () => {
      await pool.end();
    },
  };
}
