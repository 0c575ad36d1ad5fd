import type pg from 'pg';
import { accounts, measurements, openingBalance } from '../bank/bank-schema.js';
import type { BenchContender } from '../contenders/contender.js';
import type { Job, JobResult } from './job.js';

/** Something that every contender is asked to do, and how one sees that it was done. */
export interface Workload {
  readonly id: string;
  /** What is chosen on the command line. */
  readonly group: string;
  readonly title: string;
  readonly unit: 'per s' | 'ms';
  readonly needs: keyof BenchContender;
  /** Added to each round trip, in all workloads of the group; milliseconds. */
  readonly delay?: number;
  job(ms: number): Job;
  /** The same work in great numbers, as fast as it goes. */
  many?(ms: number, limit: number): Job;
  /** Work of one size, done again and again within a round; its memory is measured too. */
  readonly fixed?: true;
  /** The least that a round takes, and fewer of them, where a part of the work says something else than all of it; ms. */
  readonly roundMs?: number;
  /** What it does untimed would be counted with the rest. */
  readonly uncounted?: true;
  prepare?(client: pg.Client): Promise<void>;
  /** @throws Error when the database, or what was seen, is not as it must be */
  check?(client: pg.Client, result: JobResult): Promise<void>;
}

/** Restores what `checkBank` counts from. */
async function emptyBank(client: pg.Client): Promise<void> {
  await client.query('TRUNCATE transfer, posting');
  await client.query('UPDATE account SET balance = $1', [openingBalance]);
  await client.query('VACUUM account');
}

async function checkBank(client: pg.Client, { operations }: JobResult): Promise<void> {
  const { rows } = await client.query<Record<'transfers' | 'postings' | 'total' | 'wrong', number>>(`
    SELECT (SELECT count(*)::int FROM transfer) AS transfers,
           (SELECT count(*)::int FROM posting) AS postings,
           (SELECT sum(balance)::float8 FROM account) AS total,
           (SELECT count(*)::int FROM account LEFT JOIN
              (SELECT account_id, sum(amount) AS amount FROM posting GROUP BY 1) AS p ON p.account_id = account.id
             WHERE balance <> ${openingBalance} + coalesce(p.amount, 0)) AS wrong`);
  const { transfers, postings, total, wrong } = rows[0]!;
  if (transfers !== operations || postings !== 2 * operations || total !== accounts * openingBalance || wrong !== 0) {
    throw new Error(`The bank is wrong after ${operations} transfers: ${JSON.stringify(rows[0])}`);
  }
  await emptyBank(client);
}

function transfers(group: string, concurrency: number, delay?: number): Workload {
  return {
    id: `${group}, ${concurrency} at a time`,
    group,
    title: `Transfer, ${concurrency} at a time${delay === undefined ? '' : `, round trips of ${delay} ms more`}`,
    unit: 'per s',
    needs: 'transfer',
    ...(delay === undefined ? {} : { delay }),
    job: (ms) => ({ kind: 'transfers', concurrency, ms }),
    many: (ms, limit) => ({ kind: 'transfers', concurrency: 16, ms, limit }),
    prepare: emptyBank,
    check: checkBank,
  };
}

const parents = 1_000;
const children = 10;
const changed = 5_000;

function quantities(count: number): number {
  let sum = 0;
  for (let n = 1; n <= count; n++) sum += n % 1_000;
  return sum;
}

function read(id: string, title: string, operation: 'loadMeasurements' | 'loadMeasurementsReadOnly'): Workload {
  return {
    id,
    group: 'E',
    title,
    unit: 'ms',
    needs: operation,
    fixed: true,
    job: (ms) => ({ kind: 'calls', operation, args: [measurements], ms }),
    prepare: async (client) => {
      await client.query('UPDATE measurement SET quantity = id % 1000 WHERE quantity <> id % 1000');
      await client.query('VACUUM measurement');
    },
    check: async (_, { seen }) => {
      if (seen?.rows !== measurements || seen.below !== quantities(measurements)) {
        throw new Error(`Other rows were read: ${JSON.stringify(seen)}`);
      }
    },
  };
}

export const workloads: readonly Workload[] = [
  transfers('A', 1),
  transfers('A', 16),
  // Directly after the warm-up: behind minutes of one at a time its rate still rose from round to round.
  transfers('A2', 16, 2.5),
  transfers('A2', 1, 2.5),
  {
    id: 'B, own transaction',
    group: 'B',
    title: 'A transaction in which nothing happens',
    unit: 'per s',
    needs: 'emptyTransaction',
    job: (ms) => ({ kind: 'empty', ms }),
  },
  {
    id: 'B, joined call',
    group: 'B',
    title: 'A joined call inside an open transaction',
    unit: 'per s',
    needs: 'joinedCalls',
    job: (ms) => ({ kind: 'joined', ms }),
  },
  {
    id: 'C',
    group: 'C',
    title: `Insert ${parents} parents with ${children} children each, keys from the database`,
    unit: 'ms',
    needs: 'insertFamilies',
    fixed: true,
    job: (ms) => ({ kind: 'calls', operation: 'insertFamilies', args: [parents, children], ms }),
    prepare: async (client) => {
      await client.query('TRUNCATE parent, child');
    },
    check: async (client, { operations }) => {
      const { rows } = await client.query<{ parents: number; children: number; positions: number }>(
        `SELECT count(DISTINCT parent_id)::int AS parents, count(*)::int AS children, sum(position)::int AS positions
           FROM child JOIN parent ON parent.id = parent_id`,
      );
      const all = operations * parents;
      const expected = { parents: all, children: all * children, positions: (all * children * (children - 1)) / 2 };
      if (JSON.stringify(rows[0]) !== JSON.stringify(expected)) throw new Error(`Written: ${JSON.stringify(rows[0])}`);
      await client.query('TRUNCATE parent, child');
    },
  },
  {
    id: 'D',
    group: 'D',
    title: `Load ${changed} rows, change one column of each, write them back`,
    unit: 'ms',
    needs: 'changeMeasurements',
    fixed: true,
    job: (ms) => ({ kind: 'calls', operation: 'changeMeasurements', args: [changed], ms }),
    prepare: async (client) => {
      await client.query('UPDATE measurement SET quantity = id % 1000 WHERE quantity <> id % 1000');
      await client.query('VACUUM measurement');
    },
    check: async (client, { operations }) => {
      const { rows } = await client.query<{ right: number }>(
        `SELECT count(*)::int AS right FROM measurement WHERE quantity = id % 1000 + ${operations} * (id <= ${changed})::int`,
      );
      if (rows[0]!.right !== measurements) throw new Error(`Only ${rows[0]!.right} of ${measurements} rows are right`);
      await client.query('UPDATE measurement SET quantity = id % 1000 WHERE quantity <> id % 1000');
      await client.query('VACUUM measurement');
    },
  },
  read('E, rows', `Load ${measurements} rows of 10 columns`, 'loadMeasurements'),
  read('E, rows read-only', `The same, read-only`, 'loadMeasurementsReadOnly'),
  {
    id: 'E, families',
    group: 'E',
    title: `Load ${parents} parents with their ${children} children`,
    unit: 'ms',
    needs: 'loadFamilies',
    fixed: true,
    job: (ms) => ({ kind: 'calls', operation: 'loadFamilies', args: [], ms }),
    prepare: async (client) => {
      await client.query('TRUNCATE parent, child RESTART IDENTITY');
      await client.query("INSERT INTO parent (name) SELECT 'parent ' || n FROM generate_series(1, $1) AS n", [parents]);
      await client.query(
        `INSERT INTO child (parent_id, position, label)
         SELECT p, n, 'child ' || n FROM generate_series(1, $1) AS p, generate_series(1, $2) AS n`,
        [parents, children],
      );
      await client.query('VACUUM ANALYZE parent, child');
    },
    check: async (_, { seen }) => {
      if (seen?.rows !== parents || seen.below !== parents * children) {
        throw new Error(`Other families were read: ${JSON.stringify(seen)}`);
      }
    },
  },
  {
    id: 'E, finds by key',
    group: 'E',
    title: `20,000 finds of ${accounts} accounts in one session, reads included`,
    unit: 'per s',
    needs: 'findAccounts',
    // A shorter one would end among the reads, which come first.
    roundMs: 1_000,
    job: (ms) => ({ kind: 'finds', loaded: false, ms, limit: 20_000 }),
  },
  {
    id: 'E, finds once loaded',
    group: 'E',
    title: `Finds in a session that has found all ${accounts} accounts`,
    unit: 'per s',
    needs: 'findAccounts',
    job: (ms) => ({ kind: 'finds', loaded: true, ms }),
    uncounted: true,
  },
];
