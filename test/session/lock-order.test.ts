import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { DbSession } from '../../libs/uow/src/session/db-session.js';
import { SessionUnderTest } from './session-under-test.js';

@Entity('seats')
class Seat {
  @PrimaryColumn('int')
  id!: number;

  @Column('text')
  state!: string;
}

@Entity('places')
class Place {
  @PrimaryColumn('int')
  hall!: number;

  @PrimaryColumn('text')
  name!: string;

  @Column('text')
  state!: string;
}

const first = 1;
const last = 20;

let env: SessionUnderTest;
let session: DbSession;

beforeAll(async () => {
  env = await SessionUnderTest.start({ entities: [Seat, Place] });
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  await env.database.query('TRUNCATE seats, places');
  // Whichever way the server finds them, it comes to the last one first.
  await env.database.query(`INSERT INTO seats SELECT n, 'free' FROM generate_series($2::int, $1, -1) AS n`, [
    first,
    last,
  ]);
  await env.database.query(`INSERT INTO places SELECT n, 'a', 'free' FROM generate_series($2::int, $1, -1) AS n`, [
    first,
    last,
  ]);
  session = env.factory.open();
});
afterEach(async () => {
  await session.close();
});

/** Loads the rows from the last to the first, which is the order in which a flush names them. */
async function loadBackwards(target: typeof Seat | typeof Place): Promise<(Seat | Place)[]> {
  const order = target === Seat ? { id: 'DESC' } : { hall: 'DESC' };
  return await session.find<Seat | Place>(target, { order });
}

const writes = {
  update: (rows: readonly (Seat | Place)[]) => {
    for (const row of rows) row.state = 'taken';
  },
  delete: (rows: readonly (Seat | Place)[]) => {
    session.deleteAll(rows);
  },
};

test.each([
  ['update', Seat, 'seats', 'id'],
  ['delete', Seat, 'seats', 'id'],
  ['update', Place, 'places', 'hall'],
  ['delete', Place, 'places', 'hall'],
] as const)(
  'a flush that has many rows to %s of %p waits for the first by key before it holds any other',
  async (write, target, table, key) => {
    const rows = await loadBackwards(target);
    writes[write](rows);
    const rival = await env.database.connect();
    await rival.query('BEGIN');
    await rival.query(`SELECT FROM ${table} WHERE ${key} = ${first} FOR UPDATE`);

    const flushed = session.flush();
    try {
      await env.database.untilActivity((seen) => seen.some(({ waitEventType }) => waitEventType === 'Lock'));
      const free = await env.database.query(
        `SELECT ${key} AS key FROM ${table} WHERE ${key} > ${first} ORDER BY ${key} FOR UPDATE SKIP LOCKED`,
      );
      expect(free).toHaveLength(last - first);
    } finally {
      await rival.query('COMMIT');
      await flushed;
    }
    await session.commit();
    const left = await env.database.query(`SELECT DISTINCT state FROM ${table}`);
    expect(left).toEqual(write === 'update' ? [{ state: 'taken' }] : []);
  },
);
