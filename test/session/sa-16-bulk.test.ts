import {
  Column,
  Entity,
  JoinColumn,
  LessThan,
  ManyToOne,
  MoreThan,
  PrimaryGeneratedColumn,
  UpdateDateColumn,
} from 'typeorm';
import type { DbSession } from '../../libs/uow/src/session/db-session.js';
import { Address, CASE_ENTITIES, EMPTY_ALL, Foo, Keyword, Membership, TreeNode, User } from './case-entities.js';
import { SessionUnderTest } from './session-under-test.js';

let transformed = 0;

/** Values that need a cast, a transformer, a date of their own. */
@Entity('parcels')
class Parcel {
  @PrimaryGeneratedColumn('uuid')
  id!: string;

  @Column('jsonb', { nullable: true })
  labels!: { to: string } | null;

  @Column('text', { array: true, nullable: true })
  stops!: string[] | null;

  @Column('numeric', {
    precision: 12,
    scale: 2,
    transformer: {
      from: (value: string) => Number(value),
      to: (value: unknown) => {
        transformed += 1;
        return value;
      },
    },
  })
  weight!: number;

  @UpdateDateColumn({ type: 'timestamptz' })
  updatedAt!: Date;

  @ManyToOne(() => User, { nullable: true, onDelete: 'CASCADE' })
  @JoinColumn({ name: 'owner_id' })
  owner!: User | null;
}

let env: SessionUnderTest;
let session: DbSession;

beforeAll(async () => {
  env = await SessionUnderTest.start({ entities: [...CASE_ENTITIES, Parcel] });
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  await env.database.query(
    `${EMPTY_ALL}, parcels`.replace(' RESTART IDENTITY CASCADE', '') + ' RESTART IDENTITY CASCADE',
  );
  await env.database.query(
    `INSERT INTO users (name, age) VALUES ('john', 25), ('jack', 47), ('jill', 29), ('jane', 37)`,
  );
  session = env.factory.open();
  env.sent();
});
afterEach(async () => {
  await session.close();
});

const ages = async (): Promise<unknown[]> =>
  (await env.database.query<{ age: number }>('SELECT age FROM users ORDER BY id')).map((row) => row.age);

describe('bulkUpdate by criteria', () => {
  test('SA-320: loaded objects that match get the new value in memory, without a SELECT, and are not dirty', async () => {
    const users = await session.find(User, { order: { id: 'ASC' } });
    env.sent();
    expect(await session.bulkUpdate(User, { age: MoreThan(29) }, { age: () => 'age - 10' })).toBe(2);
    expect(env.statements()).toHaveLength(1);
    expect(users.map((user) => user.age)).toEqual([25, 37, 29, 27]);
    expect(session.dirty).toEqual([]);
    await session.commit();
    expect(await ages()).toEqual([25, 37, 29, 27]);
  });

  test('only rows that the session has come back', async () => {
    await session.getOrFail(User, 2);
    env.sent();
    await session.bulkUpdate(User, {}, { age: 1 }, { all: true });
    const [update] = env.proxy.statements.filter((statement) => statement.sql.includes('UPDATE'));
    expect(update!.rows).toBe(1);
  });

  test('SA-322: an expired object stays expired, and the UPDATE is all that is sent', async () => {
    const jack = await session.getOrFail(User, 2);
    session.expire(jack);
    env.sent();
    await session.bulkUpdate(User, { age: MoreThan(29) }, { age: 5 });
    expect(env.statements()).toHaveLength(1);
    await session.get(User, 2);
    expect(env.statements()).toHaveLength(1);
    expect(jack.age).toBe(5);
  });

  test('SA-324: pending changes are flushed first, take part in the criteria, and are overwritten', async () => {
    const john = await session.getOrFail(User, 1);
    john.age = 80;
    await session.bulkUpdate(User, { age: MoreThan(50) }, { age: 50 });
    expect(john.age).toBe(50);
    expect(session.dirty).toEqual([]);
    await session.commit();
    expect(await ages()).toEqual([50, 47, 29, 37]);
  });

  test('without synchronizing, objects keep their values', async () => {
    const jack = await session.getOrFail(User, 2);
    await session.bulkUpdate(User, { id: 2 }, { age: 1 }, { synchronize: false });
    expect(jack.age).toBe(47);
  });

  test('SA-326: criteria over a relation need nothing in memory', async () => {
    await env.database.query(`INSERT INTO addresses (user_id, email) VALUES (1, 'a'), (1, 'b'), (2, 'c')`);
    const addresses = await session.find(Address, { order: { id: 'ASC' } });
    expect(await session.bulkUpdate(Address, { user: { name: 'john' } }, { email: 'x' })).toBe(2);
    expect(addresses.map((address) => address.email)).toEqual(['x', 'x', 'c']);
  });

  test('SA-327: listeners are told once, with the session and the count', async () => {
    const events: unknown[] = [];
    session.on('afterBulkUpdate', ({ session: told, entity, count }) => {
      events.push([told === session, entity, count]);
    });
    session.on('afterBulkDelete', ({ entity, count }) => {
      events.push([entity, count]);
    });
    await session.bulkUpdate(User, { age: MoreThan(29) }, { age: 1 });
    await session.bulkDelete(User, { age: 1 });
    expect(events).toEqual([
      [true, 'User', 2],
      ['User', 2],
    ]);
  });

  test('SA-292: versions are not checked, and count up in memory and in the table', async () => {
    await env.database.query(`INSERT INTO foos (version, value) VALUES (1, 'a'), (7, 'b')`);
    const foos = await session.find(Foo, { order: { id: 'ASC' } });
    await session.bulkUpdate(Foo, {}, { value: 'c' }, { all: true });
    expect(foos.map((foo) => foo.version)).toEqual([2, 8]);
    foos[0]!.value = 'd';
    await session.commit();
    expect(await env.database.query('SELECT version, value FROM foos ORDER BY id')).toEqual([
      { version: 3, value: 'd' },
      { version: 8, value: 'c' },
    ]);
  });

  test('a relation is given by the object that it refers to, and loaded relations follow', async () => {
    await env.database.query(`INSERT INTO addresses (user_id, email) VALUES (1, 'a')`);
    const a = await session.findOneOrFail(Address, { where: { id: 1 }, relations: { user: true } });
    const jack = await session.getOrFail(User, 2);
    await session.bulkUpdate(Address, { id: 1 }, { user: jack });
    expect(a.user).toBe(jack);
    await session.bulkUpdate(Address, { id: 1 }, { user: null });
    expect(a.user).toBeNull();
  });

  test('a rollback gives objects their values back', async () => {
    const jack = await session.getOrFail(User, 2);
    await session.bulkUpdate(User, { id: 2 }, { age: 1 });
    expect(jack.age).toBe(1);
    await session.rollback();
    expect(jack.age).toBe(47);
    const savepoint = await session.beginNested();
    await session.bulkUpdate(User, { id: 2 }, { age: 2 });
    await savepoint.rollback();
    expect(jack.age).toBe(47);
  });

  test('a row that another transaction takes out of the criteria meanwhile is left alone', async () => {
    const other = await env.database.connect();
    await other.query('BEGIN');
    await other.query('UPDATE users SET age = 10 WHERE id = 2');
    const updated = session.bulkUpdate(User, { age: MoreThan(29) }, { name: 'old' });
    await env.database.untilActivity((rows) => rows.some((row) => row.waitEventType === 'Lock'));
    await other.query('COMMIT');
    expect(await updated).toBe(1);
    await session.commit();
    expect(await env.database.query('SELECT id FROM users WHERE name = $1', ['old'])).toEqual([{ id: 4 }]);
  });

  test.each<[string, () => Promise<unknown>]>([
    ['criteria without a condition', () => session.bulkUpdate(User, {}, { age: 1 })],
    ['a condition that is undefined', () => session.bulkDelete(User, { id: undefined as unknown as number })],
    ['a new key', () => session.bulkUpdate(User, { id: 1 }, { id: 9 })],
    ['a property that is not mapped', () => session.bulkUpdate(User, { id: 1 }, { nothing: 1 } as never)],
    ['a collection', () => session.bulkUpdate(User, { id: 1 }, { addresses: [] })],
  ])('%s is refused before anything is sent', async (_, work) => {
    await expect(work()).rejects.toMatchObject({ code: 'UOW_INVALID_SESSION_OPERATION' });
    expect(env.sent()).toEqual([]);
  });
});

describe('bulkUpdate by keys', () => {
  test('SA-292: a version that is given is checked and counts up', async () => {
    await env.database.query(`INSERT INTO foos (version, value) VALUES (1, 'a'), (2, 'b')`);
    const first = await session.getOrFail(Foo, 1);
    env.sent();
    await session.bulkUpdate(Foo, [
      { id: 1, version: 1, value: 'x' },
      { id: 2, version: 2, value: 'y' },
    ]);
    expect(env.statements()).toHaveLength(1);
    expect(first).toMatchObject({ version: 2, value: 'x' });
    expect(session.isModified(first)).toBe(false);
    await session.commit();
    await expect(session.bulkUpdate(Foo, [{ id: 1, version: 1, value: 'z' }])).rejects.toMatchObject({
      code: 'UOW_STALE_DATA',
    });
  });

  test('rows that are gone are stale', async () => {
    await expect(session.bulkUpdate(User, [{ id: 99, age: 1 }])).rejects.toMatchObject({ code: 'UOW_STALE_DATA' });
  });
});

describe('bulkDelete', () => {
  test('SA-323: objects that match leave the session, and a rollback brings them back', async () => {
    const users = await session.find(User, { order: { id: 'ASC' } });
    expect(await session.bulkDelete(User, { age: LessThan(30) })).toBe(2);
    expect(users.map((user) => session.has(user))).toEqual([false, true, false, true]);
    await session.rollback();
    expect(users.map((user) => session.has(user))).toEqual([true, true, true, true]);
    expect(await session.count(User)).toBe(4);
  });

  test('SA-323: without synchronizing they stay', async () => {
    const john = await session.getOrFail(User, 1);
    await session.bulkDelete(User, { id: 1 }, { synchronize: false });
    expect(session.has(john)).toBe(true);
  });

  test('objects whose rows the database took along are deleted, or found to be gone', async () => {
    const [john] = await session.getManyOrFail(User, [1, 2]);
    const parcel = Object.assign(new Parcel(), { weight: 1, owner: john });
    session.add(parcel);
    await session.flush();
    session.expunge(john);
    await session.bulkDelete(User, { id: 1 });
    expect(await session.get(Parcel, parcel.id)).toBeNull();
  });

  test('rows of a composite key are deleted by criteria', async () => {
    await env.database.query(`INSERT INTO memberships VALUES (1, 'gold'), (1, 'silver'), (2, 'gold')`);
    const gold = await session.getOrFail(Membership, { userId: 1, status: 'gold' });
    expect(await session.bulkDelete(Membership, [{ userId: 1 }, { status: 'none' }])).toBe(2);
    expect(session.has(gold)).toBe(false);
  });
});

describe('bulkInsert', () => {
  test('SA-329: rows go with one INSERT, and the given objects get no keys', async () => {
    const rows = [{ name: 'a' }, { name: 'b' }, { name: 'c' }];
    expect(await session.bulkInsert(User, rows)).toBe(3);
    expect(env.statements()).toHaveLength(1);
    expect(rows).toEqual([{ name: 'a' }, { name: 'b' }, { name: 'c' }]);
    await session.commit();
    expect(await env.database.query('SELECT id, name FROM users WHERE id > 4 ORDER BY id')).toEqual([
      { id: 5, name: 'a' },
      { id: 6, name: 'b' },
      { id: 7, name: 'c' },
    ]);
  });

  test('many rows go with the same INSERT, ten thousand at a time', async () => {
    const rows = Array.from({ length: 70_000 }, (_, n) => ({ userId: n, status: `"${n}\\` }));
    expect(await session.bulkInsert(Membership, rows)).toBe(70_000);
    const statements = env.statements();
    expect(statements).toHaveLength(7);
    expect(new Set(statements).size).toBe(1);
    await session.commit();
    const [seen] = await env.database.query(
      `SELECT count(*)::int AS rows FROM memberships WHERE status = '"' || "userId" || '\\'`,
    );
    expect(seen).toEqual({ rows: 70_000 });
  });

  test('a row that cannot be written is found before anything is sent, however many precede it', async () => {
    for (const length of [20_000, 80_000]) {
      const rows: object[] = Array.from({ length }, (_, n) => ({ userId: n, status: 'x' }));
      rows.push({ userId: 1, colour: 'red' });
      await expect(session.bulkInsert(Membership, rows as never)).rejects.toThrow('"colour"');
      rows[length] = {};
      await expect(session.bulkInsert(Membership, rows as never)).rejects.toThrow('no value for any column');
      rows[length] = { userId: 1, status: Symbol('x') };
      await expect(session.bulkInsert(Membership, rows as never)).rejects.toThrow('symbol');
    }
    expect(env.statements()).toEqual([]);
  });

  test('a nested scope beside a bulk insert of many statements waits for all of it', async () => {
    const rows = Array.from({ length: 80_000 }, (_, n) => ({ userId: n, status: 'x' }));
    await env.manager.run(async () => {
      const inserting = env.session.bulkInsert(Membership, rows);
      while (env.statements().length === 0) await new Promise((resolve) => setImmediate(resolve));
      const nested = env.manager.run({ propagation: 'NESTED' }, () => env.session.execute('SELECT 1'));
      await Promise.all([inserting, nested]);
    });
    const sent = env.sent().map((sql) => sql.split(' ')[0]);
    expect(sent.lastIndexOf('INSERT')).toBeLessThan(sent.indexOf('SAVEPOINT'));
    expect(sent).toContain('INSERT');
  });

  test('a row that the server refuses takes all before it along', async () => {
    const rows = Array.from({ length: 80_000 }, (_, n) => ({ userId: n % 79_999, status: 'x' }));
    await expect(session.bulkInsert(Membership, rows)).rejects.toMatchObject({ code: 'UOW_UNIQUE_VIOLATION' });
    await expect(session.bulkInsert(Membership, [{ userId: 1, status: 'y' }])).rejects.toMatchObject({
      code: 'UOW_PENDING_ROLLBACK',
    });
    await session.rollback();
    expect(await session.count(Membership)).toBe(0);
  });

  test('a savepoint around a bulk insert that fails midway undoes it, and nothing else', async () => {
    await session.bulkInsert(Membership, [{ userId: -1, status: 'x' }]);
    const rows = Array.from({ length: 80_000 }, (_, n) => ({ userId: n % 79_999, status: 'x' }));
    const savepoint = await session.beginNested();
    await expect(session.bulkInsert(Membership, rows)).rejects.toMatchObject({ code: 'UOW_UNIQUE_VIOLATION' });
    await savepoint.rollback();
    await session.commit();
    expect(await session.count(Membership)).toBe(1);
  });

  test('rows that are spoilt while others are on their way leave nothing half written', async () => {
    const rows: { userId: number; status: unknown }[] = Array.from({ length: 120_000 }, (_, n) => ({
      userId: n,
      status: 'x',
    }));
    const inserted = session.bulkInsert(Membership, rows as never);
    // Behind the first statements, which the server is given as soon as all rows have been looked at.
    const spoil = setInterval(() => {
      if (env.statements().length > 0) rows[119_999]!.status = Symbol('x');
    }, 0);
    await expect(
      inserted.finally(() => {
        clearInterval(spoil);
      }),
    ).rejects.toThrow('symbol');
    await expect(session.commit()).rejects.toMatchObject({ code: 'UOW_PENDING_ROLLBACK' });
    await session.rollback();
    expect(await session.count(Membership)).toBe(0);
  });

  test('a transformer is called once for each value, however many there are', async () => {
    transformed = 0;
    const rows = Array.from({ length: 60_001 }, () => ({ weight: 1.5 }));
    expect(await session.bulkInsert(Parcel, rows)).toBe(60_001);
    expect(transformed).toBe(60_001);
  });

  test('many values of all kinds, some of them unusual, arrive as few do', async () => {
    const kinds = [
      {
        labels: { to: 'a "b" \\c é' },
        stops: ['a', 'b"'],
        weight: 1.5,
        updatedAt: new Date('2026-01-02T03:04:05.678Z'),
      },
      { labels: null, stops: null, weight: 0, updatedAt: new Date('0999-01-01T00:00:00Z') },
      { labels: { to: '' }, stops: [], weight: -2.25, updatedAt: new Date('1969-12-31T23:59:59.999Z') },
    ];
    const stored = (): Promise<unknown[]> =>
      env.database.query(
        'SELECT labels, stops, weight, "updatedAt" FROM parcels GROUP BY 1, 2, 3, 4 ORDER BY "updatedAt"',
      );
    await session.bulkInsert(Parcel, kinds);
    await session.commit();
    const few = await stored();
    await env.database.query('TRUNCATE parcels');
    await session.bulkInsert(
      Parcel,
      Array.from({ length: 300 }, (_, n) => kinds[n % 3]!),
    );
    await session.bulkInsert(
      Parcel,
      Array.from({ length: 300 }, (_, n) => kinds[(n % 2) * 2]!),
    );
    await session.commit();
    expect(few).toHaveLength(3);
    expect(await stored()).toEqual(few);
  });

  test('keys drawn by the database follow the order of the rows, over many statements', async () => {
    const rows = Array.from({ length: 60_001 }, (_, n) => ({ name: String(n) }));
    await session.bulkInsert(User, rows);
    await session.commit();
    const [seen] = await env.database.query(
      `SELECT count(*)::int AS rows FROM users WHERE id > 4 AND name = (id - 5)::text`,
    );
    expect(seen).toEqual({ rows: 60_001 });
  });

  test('SA-328: rows of different properties take one statement for each shape', async () => {
    expect(await session.bulkInsert(User, [{ name: 'a' }, { name: 'b', age: 1 }, { name: 'c' }])).toBe(3);
    expect(env.statements()).toHaveLength(2);
  });

  test('SA-292: a versioned row starts at version 1', async () => {
    await session.bulkInsert(Foo, [{ value: 'a' }]);
    await session.commit();
    expect(await env.database.query('SELECT version FROM foos')).toEqual([{ version: 1 }]);
  });

  test('values of all kinds, relations and expressions arrive', async () => {
    const [john] = await session.getManyOrFail(User, [1]);
    const inserted = await session.bulkInsert(
      Parcel,
      [
        { labels: { to: 'here' }, stops: ['a', 'b'], weight: 1.5, owner: john },
        { labels: { to: 'there' }, stops: [], weight: 2, owner: john },
      ],
      { returning: true },
    );
    expect(inserted.map((parcel) => session.inspect(parcel).state)).toEqual(['persistent', 'persistent']);
    expect(inserted.map(({ labels, stops, weight }) => ({ labels, stops, weight }))).toEqual([
      { labels: { to: 'here' }, stops: ['a', 'b'], weight: 1.5 },
      { labels: { to: 'there' }, stops: [], weight: 2 },
    ]);
    await session.bulkInsert(TreeNode, [{ data: () => `upper('x')` }]);
    expect((await session.findOneOrFail(TreeNode)).data).toBe('X');
  });

  test('rows that exist already are left alone where conflicts are ignored', async () => {
    await env.database.query(`INSERT INTO keywords (name) VALUES ('red')`);
    expect(await session.bulkInsert(Keyword, [{ name: 'red' }, { name: 'blue' }], { onConflict: 'ignore' })).toBe(1);
  });

  describe('gives rows back in the order given', () => {
    test('whatever their shapes, and whatever order the server returns them in', async () => {
      const rows = Array.from({ length: 500 }, (_, n) => ({
        name: `n${(n * 7919) % 500}`,
        ...(n % 3 === 0 && { age: n }),
      }));
      const users = await session.bulkInsert(User, rows, { returning: true });
      expect(users.map(({ name }) => name)).toEqual(rows.map(({ name }) => name));
      expect(env.statements()).toHaveLength(2);
    });

    test('over many statements', async () => {
      const rows = Array.from({ length: 60_001 }, (_, n) => ({ name: String((n * 7919) % 60_001), age: n }));
      const users = await session.bulkInsert(User, rows, { returning: true });
      expect(users).toHaveLength(rows.length);
      expect(users.findIndex(({ age }, at) => age !== at)).toBe(-1);
      expect(env.statements()).toHaveLength(7);
    });

    test('with rows between them that are ignored', async () => {
      await env.database.query(`INSERT INTO keywords (name) VALUES ('b'), ('d')`);
      const rows = ['e', 'd', 'c', 'b', 'a'].map((name) => ({ name }));
      const keywords = await session.bulkInsert(Keyword, rows, { onConflict: 'ignore', returning: true });
      expect(keywords.map(({ name }) => name)).toEqual(['e', 'c', 'a']);
    });

    test('with rows between them that were there', async () => {
      await env.database.query(`INSERT INTO keywords (name) VALUES ('b'), ('d')`);
      const rows = ['e', 'd', 'c', 'b', 'a'].map((name) => ({ name }));
      const onConflict = { on: ['name'], update: ['name'] };
      const keywords = await session.bulkInsert(Keyword, rows, { onConflict, returning: true });
      expect(keywords.map(({ name }) => name)).toEqual(['e', 'd', 'c', 'b', 'a']);
      expect(env.statements()).toHaveLength(1);
    });

    test('with composite keys, and keys made in the database', async () => {
      const rows = [3, 1, 2].map((userId) => ({ userId, status: 'x' }));
      const memberships = await session.bulkInsert(Membership, rows, { returning: true });
      expect(memberships.map(({ userId }) => userId)).toEqual([3, 1, 2]);
      const parcels = await session.bulkInsert(Parcel, [{ weight: 3 }, { weight: 1 }, { weight: 2 }], {
        returning: true,
      });
      expect(parcels.map(({ weight }) => weight)).toEqual([3, 1, 2]);
    });

    test('with keys that only the statement knows, by a statement for each', async () => {
      const rows = ['1', '3', '2'].map((digit) => ({ id: () => `1000 + ${digit}`, name: digit }));
      const users = await session.bulkInsert(User, rows, { returning: true });
      expect(users.map(({ id }) => id)).toEqual([1001, 1003, 1002]);
    });
  });

  test('SA-330: an upsert that returns objects uses those that the session has, and overwrites them only if asked', async () => {
    const john = await session.getOrFail(User, 1);
    const rows = [
      { id: 1, name: 'John', age: 26 },
      { id: 50, name: 'new', age: 1 },
    ];
    const options = { onConflict: { on: ['id'] }, returning: true } as const;
    const first = await session.bulkInsert(User, rows, options);
    expect(first[0]).toBe(john);
    expect(first).toHaveLength(2);
    expect(john.name).toBe('john');
    await session.bulkInsert(User, rows, { ...options, populateExisting: true });
    expect(john.name).toBe('John');
    expect(session.dirty).toEqual([]);
  });

  test('an upsert without returning has the session read its objects of the table again', async () => {
    const john = await session.getOrFail(User, 1);
    await session.bulkInsert(User, [{ id: 1, name: 'John' }], { onConflict: { on: ['id'], update: ['name'] } });
    await session.get(User, 1);
    expect(john).toMatchObject({ name: 'John', age: 25 });
  });

  test('a versioned row counts up when an upsert updates it', async () => {
    await env.database.query(`INSERT INTO foos (version, value) VALUES (3, 'a')`);
    await session.bulkInsert(Foo, [{ id: 1, value: 'b' }], { onConflict: { on: ['id'] } });
    await session.commit();
    expect(await env.database.query('SELECT version, value FROM foos')).toEqual([{ version: 4, value: 'b' }]);
  });

  test('in a read-only transaction bulk statements are refused', async () => {
    await env.manager.run({ readOnly: true }, async () => {
      await expect(env.session.bulkInsert(User, [{ name: 'x' }])).rejects.toMatchObject({
        code: 'UOW_READ_ONLY_TRANSACTION',
      });
    });
  });
});
