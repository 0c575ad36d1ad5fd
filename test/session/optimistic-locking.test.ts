import { Column, Entity, PrimaryColumn, VersionColumn } from 'typeorm';
import { StaleDataError } from '../../libs/uow/src/errors/flush-errors.js';
import type { DbSession } from '../../libs/uow/src/session/db-session.js';
import { SessionUnderTest } from './session-under-test.js';

@Entity('account')
class Account {
  @PrimaryColumn('int')
  id!: number;

  @Column('text')
  owner!: string;

  @Column('int')
  balance!: number;

  @VersionColumn()
  version!: number;
}

@Entity('note')
class Note {
  @PrimaryColumn('int')
  id!: number;

  @Column('text')
  owner!: string;

  @Column('int')
  balance!: number;
}

@Entity('careless')
class Careless {
  @PrimaryColumn('int')
  id!: number;

  @Column('text')
  owner!: string;

  @Column('int')
  balance!: number;
}

@Entity('silenced')
class Silenced {
  @PrimaryColumn('int')
  id!: number;

  @Column('text')
  owner!: string;

  @Column('int')
  balance!: number;

  @VersionColumn()
  version!: number;
}

class Money {
  constructor(readonly cents: bigint) {}
}

const asMoney = {
  from: (stored: string | null): Money | null => (stored === null ? null : new Money(BigInt(stored))),
  to: (money: Money | null): string | null => (money === null ? null : String(money.cents)),
};

@Entity('sample')
class Sample {
  @PrimaryColumn('int')
  id!: number;

  @Column('text')
  label!: string;

  @Column('timestamptz', { nullable: true })
  micro!: Date | null;

  @Column('timestamp', { nullable: true })
  local!: Date | null;

  @Column({ type: 'timestamptz', precision: 3, nullable: true })
  milli!: Date | null;

  @Column('date', { nullable: true })
  day!: string | null;

  @Column('json', { nullable: true })
  json!: unknown;

  @Column('jsonb', { nullable: true })
  jsonb!: unknown;

  @Column('double precision', { nullable: true })
  ratio!: number | null;

  @Column('real', { nullable: true })
  small!: number | null;

  @Column('numeric', { precision: 12, scale: 2, nullable: true })
  price!: string | null;

  @Column('bigint', { transformer: asMoney, nullable: true })
  money!: Money | null;

  @Column('text', { array: true, nullable: true })
  tags!: string[] | null;

  @Column('bytea', { nullable: true })
  bytes!: Buffer | null;

  @Column('enum', { enum: ['low', 'high'], nullable: true })
  level!: string | null;

  @Column('simple-array', { nullable: true })
  list!: string[] | null;

  @Column('interval', { nullable: true })
  span!: unknown;

  @Column('point', { nullable: true })
  place!: unknown;
}

let env: SessionUnderTest;
const open: DbSession[] = [];

beforeAll(async () => {
  env = await SessionUnderTest.start({
    entities: [Account, Note, Careless, Silenced, Sample],
    policies: [
      { target: Careless, staleCheck: false },
      { target: Silenced, confirmRows: false },
    ],
    dataSource: { poolSize: 6 },
  });
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  await env.database.query('TRUNCATE account, note, careless, silenced, sample');
  for (const table of ['account', 'note', 'careless', 'silenced']) {
    const version = ['account', 'silenced'].includes(table) ? ', 1' : '';
    await env.database.query(
      `INSERT INTO ${table} SELECT n, 'owner ' || n, 100${version} FROM generate_series(1, 100) AS n`,
    );
  }
  env.sent();
});
afterEach(async () => {
  for (const session of open.splice(0)) await session.close();
});

function session(): DbSession {
  const opened = env.factory.open();
  open.push(opened);
  return opened;
}

const failureOf = (work: Promise<unknown>): Promise<Error | null> =>
  work.then(
    () => null,
    (error: unknown) => error as Error,
  );

/** Has a rival commit while the UPDATE or DELETE of `write` waits for a row that the rival has locked. */
async function whileItWaits(rivalSql: string, write: () => Promise<unknown>): Promise<Error | null> {
  const rival = await env.database.connect('rival');
  try {
    await rival.query('BEGIN');
    await rival.query(rivalSql);
    const outcome = failureOf(write());
    await env.database.untilActivity((rows) => rows.some((row) => row.waitEventType === 'Lock'));
    await rival.query('COMMIT');
    return await outcome;
  } finally {
    await rival.end();
  }
}

/** Has a rival commit while the UPDATE or DELETE of `write` is on the wire and has not arrived. */
async function whileItTravels(rivalSql: string, write: () => Promise<unknown>): Promise<Error | null> {
  using hold = env.proxy.hold({ sql: /\b(UPDATE|DELETE FROM) "/, times: 1 });
  const outcome = failureOf(write());
  await hold.hit();
  await env.database.query(rivalSql);
  hold.release();
  return await outcome;
}

const AIMS = { 'the UPDATE waits for the row': whileItWaits, 'the UPDATE is on the wire': whileItTravels } as const;

let hits = 0;

describe('a conflict that arrives while', () => {
  const cases = (Object.keys(AIMS) as (keyof typeof AIMS)[]).flatMap((aim) =>
    (['READ COMMITTED', 'REPEATABLE READ'] as const).flatMap((isolation) =>
      (['before', 'in'] as const).flatMap((read) =>
        ([Account, Note] as const).flatMap((target) =>
          (['flush', 'commit'] as const).map((ending) => ({ aim, isolation, read, target, ending, name: target.name })),
        ),
      ),
    ),
  );

  test.each(cases)(
    '$aim: $isolation, $name read $read the transaction, $ending',
    async ({ aim, isolation, read, target, ending }) => {
      const own = session();
      const isVersioned = target === Account;
      const table = isVersioned ? 'account' : 'note';
      if (read === 'before') await own.getOrFail(target, 7);
      const transaction = await own.begin({ isolation });
      const object = await own.getOrFail<Account | Note>(target, 7);
      // A read that is the transaction's first statement takes its picture of the database, where it keeps one.
      if (read === 'in') await own.count(target);
      object.balance -= 30;
      env.proxy.clear();
      const error = await AIMS[aim](
        `UPDATE ${table} SET balance = balance - 50${isVersioned ? ', version = version + 1' : ''} WHERE id = 7`,
        () => (ending === 'flush' ? own.flush() : transaction.commit()),
      );
      hits += 1;

      const isOlderPicture =
        isolation === 'REPEATABLE READ' && (aim === 'the UPDATE waits for the row' || read === 'in');
      if (isOlderPicture) {
        // The server itself refuses to write on top of what this transaction cannot see.
        expect(error).toMatchObject({ code: 'UOW_SERIALIZATION_FAILURE', retryable: true });
      } else {
        expect(error).toMatchObject({
          code: 'UOW_STALE_DATA',
          retryable: true,
          entity: target.name,
          key: { id: 7 },
          expectedVersion: isVersioned ? 1 : undefined,
          found: isVersioned ? 2 : { balance: 50 },
        });
      }
      if (ending === 'commit') {
        expect(env.proxy.log.filter((line) => line.startsWith('COMMIT'))).toEqual(['COMMIT => (skipped)']);
        expect(own.inTransaction).toBe(false);
      } else {
        await own.rollback();
      }
      expect(await env.database.query(`SELECT balance FROM ${table} WHERE id = 7`)).toEqual([{ balance: 50 }]);
      expect(object.balance).toBe(100);
      expect((await own.getOrFail(target, 7)).balance).toBe(50);
    },
  );

  test('all of them were met as aimed', () => {
    expect(hits).toBe(cases.length);
  });

  test('the DELETE of a versioned row waits: the row stays, and the error names it', async () => {
    const own = session();
    const account = await own.getOrFail(Account, 7);
    own.delete(account);
    const error = await whileItWaits('UPDATE account SET balance = 1, version = 2 WHERE id = 7', () => own.commit());
    expect(error).toMatchObject({ code: 'UOW_STALE_DATA', entity: 'Account', key: { id: 7 }, expectedVersion: 1 });
    expect(error?.message).toMatch(/^DELETE of Account with id 7/);
    expect(await env.database.query('SELECT balance FROM account WHERE id = 7')).toEqual([{ balance: 1 }]);
    expect(own.inspect(account).state).toBe('persistent');
  });

  test('the UPDATE waits leaves alone what the rival rolled back', async () => {
    const own = session();
    const note = await own.getOrFail(Note, 7);
    note.balance = 70;
    const rival = await env.database.connect('rival');
    await rival.query('BEGIN');
    await rival.query('UPDATE note SET balance = 1 WHERE id = 7');
    const outcome = failureOf(own.commit());
    await env.database.untilActivity((rows) => rows.some((row) => row.waitEventType === 'Lock'));
    await rival.query('ROLLBACK');
    expect(await outcome).toBeNull();
    expect(await env.database.query('SELECT balance FROM note WHERE id = 7')).toEqual([{ balance: 70 }]);
  });

  test('the UPDATE waits is none where the rival changed another column of an unversioned row', async () => {
    const own = session();
    const note = await own.getOrFail(Note, 7);
    note.balance = 70;
    const error = await whileItWaits(`UPDATE note SET owner = 'rival' WHERE id = 7`, () => own.commit());
    expect(error).toBeNull();
    expect(await env.database.query('SELECT owner, balance FROM note WHERE id = 7')).toEqual([
      { owner: 'rival', balance: 70 },
    ]);
  });

  test('the UPDATE waits is one where the rival changed another column of a versioned row', async () => {
    const own = session();
    const account = await own.getOrFail(Account, 7);
    account.balance = 70;
    const error = await whileItWaits(`UPDATE account SET owner = 'rival', version = 2 WHERE id = 7`, () =>
      own.commit(),
    );
    expect(error).toMatchObject({ code: 'UOW_STALE_DATA', expectedVersion: 1, found: 2 });
  });
});

describe('one stale row among a hundred', () => {
  test.each([
    { name: 'versioned', target: Account, table: 'account', rival: 'balance = 1, version = 2', expected: 1, found: 2 },
    {
      name: 'unversioned',
      target: Note,
      table: 'note',
      rival: 'balance = 1',
      expected: undefined,
      found: { balance: 1 },
    },
  ])('$name: nothing of the hundred is written, and the one is named', async (given) => {
    const own = session();
    const objects = await own.find<Account | Note>(given.target, { order: { id: 'ASC' } });
    expect(objects).toHaveLength(100);
    for (const object of objects) object.balance += object.id;
    const error = await whileItWaits(`UPDATE ${given.table} SET ${given.rival} WHERE id = 61`, () => own.commit());
    expect(error).toMatchObject({
      code: 'UOW_STALE_DATA',
      key: { id: 61 },
      expectedVersion: given.expected,
      found: given.found,
    });
    expect(error?.message).not.toContain('other rows');
    const [sum] = await env.database.query(`SELECT sum(balance)::int AS sum FROM ${given.table}`);
    expect(sum).toEqual({ sum: 9901 });
    expect(objects.every((object) => object.balance === 100)).toBe(true);
  });

  test('of several stale rows the first is named and the others are counted', async () => {
    const own = session();
    const notes = await own.find(Note, { order: { id: 'ASC' } });
    await env.database.query('UPDATE note SET balance = 1 WHERE id IN (20, 30, 40)');
    for (const note of notes) note.balance += 5;
    const error = await failureOf(own.commit());
    expect(error).toMatchObject({ code: 'UOW_STALE_DATA', key: { id: 20 } });
    expect(error?.message).toContain('(and 2 other rows)');
  });
});

describe('old values are checked as they were read', () => {
  const stored: Record<string, { readonly sql: string; readonly change: unknown; readonly rival: string }> = {
    micro: {
      sql: `'2024-05-06 07:08:09.123456+00'`,
      change: new Date('2025-01-01T00:00:00.000Z'),
      rival: `'2024-05-06 07:08:09.124+00'`,
    },
    local: {
      sql: `'2024-05-06 07:08:09.123999'`,
      change: new Date('2025-01-01T00:00:00.000Z'),
      rival: `'2024-05-06 07:08:10'`,
    },
    milli: { sql: `'1969-12-31 23:59:59.999+00'`, change: new Date(0), rival: `'1969-12-31 23:59:59.998+00'` },
    day: { sql: `'2024-02-29'`, change: '2024-03-01', rival: `'2024-02-28'` },
    json: { sql: `'{"b": 1,  "a": [1, 2.0]}'`, change: { b: 2 }, rival: `'{"b": 1, "a": [2, 1]}'` },
    jsonb: { sql: `'{"b": 1, "a": [1, 2.0, "é\\u00e9"]}'`, change: { b: 2 }, rival: `'{"b": 1}'` },
    ratio: { sql: `0.1::float8 + 0.2::float8`, change: 0.5, rival: '0.3' },
    small: { sql: '0.1::real', change: 0.2, rival: '0.3::real' },
    price: { sql: '10.10', change: '10.20', rival: '10.11' },
    money: { sql: '9007199254740993', change: new Money(1n), rival: '9007199254740992' },
    tags: { sql: `ARRAY['a', 'b,c', '"d"', NULL]`, change: ['z'], rival: `ARRAY['a']` },
    bytes: { sql: `'\\x00ff10'`, change: Buffer.from([1]), rival: `'\\x00ff11'` },
    level: { sql: `'low'`, change: 'high', rival: 'NULL' },
    list: { sql: `'a,b'`, change: ['c'], rival: `'a'` },
    span: { sql: `'1 day 2 hours'`, change: '3 days', rival: `'1 day 3 hours'` },
    place: { sql: 'point(1, 2)', change: '(3,4)', rival: 'point(1, 3)' },
  };

  test.each(Object.keys(stored))('%s: an unchanged row is written', async (column) => {
    const { sql, change } = stored[column]!;
    await env.database.query(`INSERT INTO sample (id, label, ${column}) VALUES (1, 'x', ${sql}), (2, 'y', ${sql})`);
    const own = session();
    const [one, two] = (await own.find(Sample, { order: { id: 'ASC' } })) as [Sample, Sample];
    expect(own.dirty).toEqual([]);
    Object.assign(one, { [column]: change });
    await own.commit();
    // The same by the statement for several rows.
    const [again] = await own.getManyOrFail(Sample, [1, 2]);
    Object.assign(again, { [column]: null });
    Object.assign(two, { [column]: null });
    await own.commit();
    expect(await env.database.query(`SELECT count(*)::int AS n FROM sample WHERE ${column} IS NULL`)).toEqual([
      { n: 2 },
    ]);
  });

  test.each(Object.keys(stored))('%s: a row that somebody else changed is not', async (column) => {
    const { sql, change, rival } = stored[column]!;
    await env.database.query(`INSERT INTO sample (id, label, ${column}) VALUES (1, 'x', ${sql}), (2, 'y', ${sql})`);
    const own = session();
    const [one, two] = (await own.find(Sample, { order: { id: 'ASC' } })) as [Sample, Sample];
    Object.assign(one, { [column]: change });
    const setTo = (value: string): Promise<unknown> =>
      env.database.query(`UPDATE sample SET ${column} = ${value} WHERE id = 1`);
    await setTo(rival);
    expect(await failureOf(own.commit())).toMatchObject({ code: 'UOW_STALE_DATA', entity: 'Sample', key: { id: 1 } });
    await own.find(Sample);
    Object.assign(one, { [column]: change });
    Object.assign(two, { [column]: change });
    await setTo(sql);
    const stays = await env.database.query(`SELECT ${column}::text AS is FROM sample`);
    expect(await failureOf(own.commit())).toMatchObject({ code: 'UOW_STALE_DATA', entity: 'Sample', key: { id: 1 } });
    expect(await env.database.query(`SELECT ${column}::text AS is FROM sample`)).toEqual(stays);
  });

  test('null counts as a value', async () => {
    await env.database.query(`INSERT INTO sample (id, label) VALUES (1, 'x')`);
    const own = session();
    const one = await own.getOrFail(Sample, 1);
    one.price = '1.00';
    await env.database.query('UPDATE sample SET price = 2 WHERE id = 1');
    expect(await failureOf(own.commit())).toMatchObject({ code: 'UOW_STALE_DATA', found: { price: '2.00' } });
  });

  test('json by its value: another spelling of the same is no conflict', async () => {
    await env.database.query(`INSERT INTO sample (id, label, json) VALUES (1, 'x', '{"a": 1, "b": 2}')`);
    const own = session();
    const one = await own.getOrFail(Sample, 1);
    one.json = { a: 3 };
    await env.database.query(`UPDATE sample SET json = '{"b":2,"a":1}' WHERE id = 1`);
    await own.commit();
    expect(await env.database.query('SELECT json FROM sample')).toEqual([{ json: { a: 3 } }]);
  });

  test('a changed transformer value in place is a change, and checked', async () => {
    await env.database.query(`INSERT INTO sample (id, label, json, tags) VALUES (1, 'x', '{"n": [1]}', ARRAY['a'])`);
    const own = session();
    const one = await own.getOrFail(Sample, 1);
    (one.json as { n: number[] }).n.push(2);
    one.tags!.push('b');
    await own.commit();
    expect(await env.database.query('SELECT json, tags FROM sample')).toEqual([
      { json: { n: [1, 2] }, tags: ['a', 'b'] },
    ]);
  });
});

describe('a row that is gone', () => {
  test.each([
    { name: 'Account', target: Account, table: 'account', expected: 1 },
    { name: 'Note', target: Note, table: 'note', expected: undefined },
  ])('$name: UPDATE is an error that says so', async ({ target, table, expected }) => {
    const own = session();
    const object = await own.getOrFail<Account | Note>(target, 7);
    object.balance = 1;
    const error = await whileItWaits(`DELETE FROM ${table} WHERE id = 7`, () => own.commit());
    expect(error).toMatchObject({ code: 'UOW_STALE_DATA', key: { id: 7 }, expectedVersion: expected, found: null });
    expect(await own.get(target, 7)).toBeNull();
    expect(own.inspect(object).state).toBe('detached');
  });

  test('DELETE of an unversioned row is a warning', async () => {
    const own = session();
    own.deleteAll(await own.find(Note, { where: { id: 7 } }));
    await env.database.query('DELETE FROM note WHERE id = 7');
    env.reports.length = 0;
    await own.commit();
    expect(env.reports.map(({ code }) => code)).toEqual(['UOW_WARN_ROWS_GONE']);
  });

  test('DELETE of a versioned row is an error', async () => {
    const own = session();
    own.deleteAll(await own.find(Account, { where: { id: 7 } }));
    await env.database.query('DELETE FROM account WHERE id = 7');
    expect(await failureOf(own.commit())).toMatchObject({ code: 'UOW_STALE_DATA', found: null, expectedVersion: 1 });
  });
});

describe('a few rows whose locks are held', () => {
  test('are written by one statement, and one that is gone fails it by name', async () => {
    const own = session();
    const three = await own.getManyOrFail(Account, [1, 2, 3], { lock: 'update' });
    await own.execute('DELETE FROM account WHERE id = 2');
    for (const one of three) one.balance = 1;
    env.sent();
    const error = await failureOf(own.flush());
    expect(error).toMatchObject({ code: 'UOW_STALE_DATA' });
    expect(error!.message).toContain('Account with id 2');
    expect(env.statements().filter((sql) => sql.includes('UPDATE'))).toHaveLength(1);
  });

  test('get the versions that the database has given them', async () => {
    const own = session();
    const three = await own.getManyOrFail(Account, [1, 2, 3], { lock: 'update' });
    three.forEach((one, at) => (one.balance = at));
    await own.commit();
    expect(three.map(({ version }) => version)).toEqual([2, 2, 2]);
    expect(await env.database.query('SELECT balance, version FROM account WHERE id < 4 ORDER BY id')).toEqual([
      { balance: 0, version: 2 },
      { balance: 1, version: 2 },
      { balance: 2, version: 2 },
    ]);
  });
});

describe('where counts do not count', () => {
  test('confirmRows: false lets a trigger swallow updates, inserts and deletes', async () => {
    await env.database.query(`
      CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
      CREATE TRIGGER swallow BEFORE INSERT OR UPDATE OR DELETE ON silenced FOR EACH ROW EXECUTE FUNCTION swallow()`);
    try {
      env.reports.length = 0;
      const own = session();
      const [one, two] = await own.getManyOrFail(Silenced, [1, 2]);
      one.balance = 1;
      own.delete(two);
      own.add(Object.assign(new Silenced(), { id: 500, owner: 'x', balance: 1 }));
      await own.commit();
      expect(env.reports).toEqual([]);
      expect(await env.database.query('SELECT sum(balance)::int AS sum FROM silenced')).toEqual([{ sum: 10_000 }]);
    } finally {
      await env.database.query('DROP TRIGGER swallow ON silenced; DROP FUNCTION swallow');
    }
  });

  test('a single row of a table with rules is updated, which no UPDATE in WITH could do', async () => {
    await env.database.query(`
      CREATE TABLE heard (id int);
      CREATE RULE heard AS ON UPDATE TO silenced DO ALSO INSERT INTO heard VALUES (NEW.id)`);
    try {
      const own = session();
      (await own.getOrFail(Silenced, 1)).balance = 1;
      await own.commit();
      expect(await env.database.query('SELECT id FROM heard')).toEqual([{ id: 1 }]);
    } finally {
      await env.database.query('DROP RULE heard ON silenced; DROP TABLE heard');
    }
  });

  test('of a few rows that one statement writes, those that were swallowed keep their version', async () => {
    await env.database.query(`
      CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF NEW.id = 2 THEN RETURN NULL; END IF; RETURN NEW; END $$;
      CREATE TRIGGER swallow BEFORE UPDATE ON silenced FOR EACH ROW EXECUTE FUNCTION swallow()`);
    try {
      const own = session();
      const three = await own.getManyOrFail(Silenced, [1, 2, 3], { lock: 'update' });
      for (const one of three) one.balance = 1;
      env.sent();
      await own.flush();
      expect(env.statements().filter((sql) => sql.includes('UPDATE'))).toHaveLength(1);
      expect(three.map(({ version }) => version)).toEqual([2, 1, 2]);
      await own.rollback();
    } finally {
      await env.database.query('DROP TRIGGER swallow ON silenced; DROP FUNCTION swallow');
    }
  });

  test('it keeps the version in the WHERE all the same', async () => {
    const own = session();
    const one = await own.getOrFail(Silenced, 1);
    one.balance = 1;
    await env.database.query('UPDATE silenced SET balance = 2, version = 2 WHERE id = 1');
    await own.commit();
    expect(await env.database.query('SELECT balance FROM silenced WHERE id = 1')).toEqual([{ balance: 2 }]);
  });
});

describe('staleCheck', () => {
  test('off for an entity: the last writer wins, and its statement has no check', async () => {
    const own = session();
    const object = await own.getOrFail(Careless, 7);
    object.balance = 70;
    await env.database.query('UPDATE careless SET balance = 1 WHERE id = 7');
    env.sent();
    await own.commit();
    expect(env.statements().join()).not.toContain('IS NOT DISTINCT FROM');
    expect(await env.database.query('SELECT balance FROM careless WHERE id = 7')).toEqual([{ balance: 70 }]);
  });

  test('off for an entity: a row that is gone is an error still', async () => {
    const own = session();
    const object = await own.getOrFail(Careless, 7);
    object.balance = 70;
    await env.database.query('DELETE FROM careless WHERE id = 7');
    expect(await failureOf(own.commit())).toMatchObject({ code: 'UOW_STALE_DATA', found: null });
  });

  test('off for the module: unversioned entities are not checked, versioned ones are', async () => {
    const off = await SessionUnderTest.start({
      entities: [Account, Note],
      options: { staleCheck: 'off' },
    });
    try {
      await off.database.query(`INSERT INTO account VALUES (1, 'a', 100, 1); INSERT INTO note VALUES (1, 'a', 100)`);
      await using own = off.factory.open();
      const note = await own.getOrFail(Note, 1);
      note.balance = 70;
      await off.database.query('UPDATE note SET balance = 1');
      await own.commit();
      expect(await off.database.query('SELECT balance FROM note')).toEqual([{ balance: 70 }]);
      const account = await own.getOrFail(Account, 1);
      account.balance = 70;
      await off.database.query('UPDATE account SET balance = 1, version = 2');
      expect(await failureOf(own.commit())).toMatchObject({ code: 'UOW_STALE_DATA' });
    } finally {
      await off.stop();
    }
  });

  test('is left out where the row is locked in this transaction', async () => {
    const own = session();
    const note = await own.getOrFail(Note, 7, { lock: 'update' });
    note.balance = 70;
    env.sent();
    await own.commit();
    expect(env.statements().join()).not.toContain('IS NOT DISTINCT FROM');
  });

  test('is left out where REPEATABLE READ has read the row in this transaction', async () => {
    const own = session();
    await own.begin({ isolation: 'REPEATABLE READ' });
    const note = await own.getOrFail(Note, 7);
    note.balance = 70;
    env.sent();
    await own.commit();
    expect(env.statements().join()).not.toContain('IS NOT DISTINCT FROM');
  });

  test('covers the second update of a row in one transaction by what the first one wrote', async () => {
    const own = session();
    const note = await own.getOrFail(Note, 7);
    note.balance = 70;
    await own.flush();
    note.balance = 60;
    await own.commit();
    expect(await env.database.query('SELECT balance FROM note WHERE id = 7')).toEqual([{ balance: 60 }]);
  });

  test('covers a foreign read of another column between two flushes of one transaction', async () => {
    const own = session();
    const note = await own.getOrFail(Note, 7);
    await env.database.query(`UPDATE note SET owner = 'rival' WHERE id = 7`);
    note.balance = 70;
    await own.flush();
    // The row is locked by now, and yet its owner was read before.
    note.owner = 'mine';
    expect(await failureOf(own.commit())).toMatchObject({ code: 'UOW_STALE_DATA', found: { owner: 'rival' } });
  });
});

describe('the error', () => {
  test('carries no found where no connection is free to ask', async () => {
    const narrow = await SessionUnderTest.start({ entities: [Account], dataSource: { poolSize: 1 } });
    try {
      await narrow.database.query(`INSERT INTO account VALUES (1, 'a', 100, 1)`);
      await using own = narrow.factory.open();
      const account = await own.getOrFail(Account, 1);
      account.balance = 1;
      await narrow.database.query('UPDATE account SET version = 9');
      const error = (await failureOf(own.flush())) as StaleDataError;
      expect(error).toBeInstanceOf(StaleDataError);
      expect(error.found).toBeUndefined();
      await own.rollback();
      account.balance = 1;
      await own.getOrFail(Account, 1);
    } finally {
      await narrow.stop();
    }
  });

  test('is the cause of what the session and its scope say afterwards', async () => {
    const seen: unknown[] = [];
    const outcome = await failureOf(
      env.manager.run(async () => {
        const note = await env.session.getOrFail(Note, 7);
        await env.database.query('UPDATE note SET balance = 1 WHERE id = 7');
        note.balance = 70;
        seen.push(await failureOf(env.session.flush()));
        seen.push(await failureOf(env.session.count(Note)));
      }),
    );
    expect(seen[0]).toBeInstanceOf(StaleDataError);
    expect(seen[1]).toMatchObject({ code: 'UOW_PENDING_ROLLBACK', cause: seen[0] });
    expect(outcome).toMatchObject({ code: 'UOW_TRANSACTION_ROLLED_BACK', cause: seen[0] });
  });

  test('comes out of a scope whose COMMIT it travelled with, found included', async () => {
    const outcome = await failureOf(
      env.manager.run(async () => {
        const account = await env.session.getOrFail(Account, 7);
        await env.database.query('UPDATE account SET version = 4 WHERE id = 7');
        account.balance = 70;
      }),
    );
    expect(outcome).toMatchObject({ code: 'UOW_STALE_DATA', expectedVersion: 1, found: 4 });
    expect(outcome?.message).toContain('Found version 4.');
  });

  test('inside a savepoint leaves the work around it', async () => {
    const own = session();
    const [one, two] = await own.getManyOrFail(Note, [1, 2]);
    one.balance = 1;
    const savepoint = await own.beginNested();
    await env.database.query('UPDATE note SET balance = 50 WHERE id = 2');
    two.balance = 2;
    expect(await failureOf(own.flush())).toMatchObject({ code: 'UOW_STALE_DATA', key: { id: 2 } });
    await savepoint.rollback();
    await own.commit();
    expect(await env.database.query('SELECT balance FROM note WHERE id <= 2 ORDER BY id')).toEqual([
      { balance: 1 },
      { balance: 50 },
    ]);
  });
});

describe('a lost update', () => {
  const WRITERS = 6;
  const ROUNDS = 4;

  /** Everybody reads, then everybody writes: without a check all but one update of each round would be lost. */
  async function race(
    target: typeof Account | typeof Note | typeof Careless,
  ): Promise<{ done: number; balance: number }> {
    let done = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const writers = await Promise.all(
        Array.from({ length: WRITERS }, async () => {
          const own = session();
          return { own, object: await own.getOrFail<Account | Note | Careless>(target, 7) };
        }),
      );
      const outcomes = await Promise.all(
        writers.map(({ own, object }) => {
          object.balance += 1;
          return failureOf(own.commit());
        }),
      );
      done += outcomes.filter((error) => error === null).length;
      for (const error of outcomes) if (error !== null) expect(error).toBeInstanceOf(StaleDataError);
    }
    const table = env.dataSource.getMetadata(target).tablePath;
    const [row] = await env.database.query<{ balance: number }>(`SELECT balance FROM ${table} WHERE id = 7`);
    return { done, balance: row!.balance - 100 };
  }

  test.each([
    ['a version', Account],
    ['old values', Note],
  ])('cannot happen with a check on %s', async (_, target) => {
    const { done, balance } = await race(target);
    expect(balance).toBe(done);
    expect(done).toBeGreaterThanOrEqual(ROUNDS);
  });

  test('happens without one: the race above is a real one', async () => {
    const { done, balance } = await race(Careless);
    expect(done).toBe(WRITERS * ROUNDS);
    expect(balance).toBe(ROUNDS);
  });

  test('is made good by a retry of the whole method', async () => {
    await Promise.all(
      Array.from({ length: WRITERS }, () =>
        env.manager.run({ retry: { attempts: 50, backoff: 1 } }, async () => {
          const account = await env.session.getOrFail(Account, 7);
          account.balance += 1;
        }),
      ),
    );
    expect(await env.database.query('SELECT balance FROM account WHERE id = 7')).toEqual([{ balance: 100 + WRITERS }]);
  });
});
