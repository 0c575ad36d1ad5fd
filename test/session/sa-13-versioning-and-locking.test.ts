import { Column, Entity, PrimaryGeneratedColumn, VersionColumn } from 'typeorm';
import type { DbSession } from '../../libs/uow/src/session/db-session.js';
import { Bar, CASE_ENTITIES, EMPTY_ALL, Foo } from './case-entities.js';
import { SessionUnderTest } from './session-under-test.js';

/** The table's trigger writes the version: 100, and ten more with each update. */
@Entity('kept')
class Kept {
  @PrimaryGeneratedColumn('identity')
  id!: number;

  @VersionColumn({ insert: false, update: false, default: 0 })
  readonly version!: number;

  @Column('text')
  value!: string;
}

const TRIGGER = `
  CREATE FUNCTION keep_version() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN NEW.version := CASE WHEN TG_OP = ''INSERT'' THEN 100 ELSE OLD.version + 10 END; RETURN NEW; END';
  CREATE TRIGGER keep_version BEFORE INSERT OR UPDATE ON kept FOR EACH ROW EXECUTE FUNCTION keep_version()`;

let env: SessionUnderTest;
let session: DbSession;

beforeAll(async () => {
  env = await SessionUnderTest.start({ entities: [...CASE_ENTITIES, Kept] });
  await env.database.query(TRIGGER);
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  await env.database.query(`${EMPTY_ALL}; TRUNCATE kept`);
  await env.database.query(`INSERT INTO foos (version, value) VALUES (1, 'f1'), (1, 'f2')`);
  session = env.factory.open();
  env.sent();
});
afterEach(async () => {
  await session.close();
});

const rows = async (): Promise<unknown[]> => env.database.query('SELECT version, value FROM foos ORDER BY id');

test('SA-280: an insert sets version 1, and each update counts up and asks for the last', async () => {
  const foo = new Foo({ value: 'a' });
  session.add(foo);
  await session.flush();
  expect(foo.version).toBe(1);
  for (const [value, version] of [
    ['b', 2],
    ['c', 3],
  ] as const) {
    foo.value = value;
    env.sent();
    await session.flush();
    expect(foo.version).toBe(version);
    const [update, ...more] = env.statements();
    expect(more).toEqual([]);
    expect(update).toMatch(/"version" = t\."version" \+ 1 WHERE t\."id" = \$\d AND t\."version" = \$\d/);
  }
});

test('SA-281: a row that another session changed is stale at commit, and usable again after the rollback', async () => {
  const foo = await session.getOrFail(Foo, 1);
  await env.factory.begin(async (other) => {
    (await other.getOrFail(Foo, 1)).value = 'theirs';
  });
  foo.value = 'mine';
  await expect(session.commit()).rejects.toMatchObject({ code: 'UOW_STALE_DATA', expectedVersion: 1 });
  await session.rollback();
  await session.refresh(foo);
  expect(foo).toMatchObject({ version: 2, value: 'theirs' });
  foo.value = 'mine';
  await session.commit();
  expect((await rows())[0]).toEqual({ version: 3, value: 'mine' });
});

test('SA-281: a row that another session deleted is stale', async () => {
  const foo = await session.getOrFail(Foo, 1);
  await env.database.query('DELETE FROM foos WHERE id = 1');
  foo.value = 'mine';
  await expect(session.commit()).rejects.toMatchObject({ code: 'UOW_STALE_DATA' });
});

test('SA-281: deleting a row that another session changed is stale', async () => {
  const foo = await session.getOrFail(Foo, 1);
  await env.database.query('UPDATE foos SET version = 2 WHERE id = 1');
  session.delete(foo);
  await expect(session.commit()).rejects.toMatchObject({ code: 'UOW_STALE_DATA' });
  expect(await rows()).toHaveLength(2);
});

test('SA-283: a value that is set and set back leaves the version alone, and nothing is sent', async () => {
  const foo = await session.getOrFail(Foo, 1);
  foo.value = 'x';
  foo.value = 'f1';
  env.sent();
  await session.commit();
  expect(env.sent()).toEqual([]);
  expect(foo.version).toBe(1);
});

test('SA-284: a version that the application sets is written, and the last committed one is asked for', async () => {
  const foo = await session.getOrFail(Foo, 1);
  foo.version = 10;
  await session.commit();
  expect((await rows())[0]).toEqual({ version: 10, value: 'f1' });
  await session.get(Foo, 1);
  foo.version = 11;
  session.delete(foo);
  await session.commit();
  expect(await rows()).toHaveLength(1);
});

test('SA-286: putting a child into a collection counts up the child’s version and not the parent’s', async () => {
  await env.database.query('INSERT INTO bars (version) VALUES (1)');
  const foo = await session.findOneOrFail(Foo, { where: { id: 1 }, relations: { bars: true } });
  const bar = await session.getOrFail(Bar, 1);
  foo.bars.push(bar);
  await session.commit();
  expect([foo.version, bar.version]).toEqual([1, 2]);
  expect(await env.database.query('SELECT version, foo_id FROM bars')).toEqual([{ version: 2, foo_id: 1 }]);
});

test('SA-286: the side that has the foreign key counts up when it is changed there', async () => {
  await env.database.query('INSERT INTO bars (version) VALUES (1)');
  const foo = await session.getOrFail(Foo, 1);
  const bar = await session.getOrFail(Bar, 1);
  bar.foo = foo;
  await session.commit();
  expect([foo.version, bar.version]).toEqual([1, 2]);
});

test('SA-288: nowait on a row that is locked fails at once, and after the other commits the new version is read', async () => {
  const foo = await session.getOrFail(Foo, 1);
  const other = env.factory.open();
  const theirs = await other.getOrFail(Foo, 1, { lock: 'update' });
  theirs.value = 'theirs';
  await expect(session.refresh(foo, { lock: 'update', nowait: true })).rejects.toMatchObject({
    code: 'UOW_LOCK_NOT_AVAILABLE',
  });
  await session.rollback();
  await other.commit();
  await session.refresh(foo, { lock: 'update', nowait: true });
  expect(foo).toMatchObject({ version: 2, value: 'theirs' });
  await other.close();
});

test('SA-289: a new object with the key of one that is deleted becomes an update, and the version goes on', async () => {
  await session.begin();
  const foo = await session.findOneOrFail(Foo, { where: { id: 1 }, relations: { bars: true } });
  session.delete(foo);
  const replacement = new Foo({ id: 1, value: 'replaced' });
  session.add(replacement);
  env.sent();
  await session.commit();
  expect(env.statements()).toHaveLength(1);
  expect((await rows())[0]).toEqual({ version: 2, value: 'replaced' });
  expect(replacement.version).toBe(2);
});

test('SA-289: children of the deleted object lose it, those of the new one keep it', async () => {
  await env.database.query('INSERT INTO bars (version, foo_id) VALUES (1, 1)');
  session.delete(await session.getOrFail(Foo, 1));
  session.add(new Foo({ id: 1, value: 'replaced', bars: [new Bar()] }));
  await session.commit();
  expect(await env.database.query('SELECT id, foo_id FROM bars ORDER BY id')).toEqual([
    { id: 1, foo_id: null },
    { id: 2, foo_id: 1 },
  ]);
});

describe('SA-290, SA-291: a version that the database keeps', () => {
  const versions = async (): Promise<unknown[]> => env.database.query('SELECT version, value FROM kept ORDER BY id');

  test('comes back with the statement that writes the row, and is asked for by the next', async () => {
    const kept = Object.assign(new Kept(), { value: 'a' });
    session.add(kept);
    await session.flush();
    expect(kept.version).toBe(100);
    env.sent();
    kept.value = 'b';
    await session.flush();
    expect(kept.version).toBe(110);
    expect(env.statements()).toEqual([expect.not.stringContaining('"version" = t."version" + 1')]);
    session.delete(kept);
    await session.commit();
    expect(await versions()).toEqual([]);
  });

  test('is checked, for one row and for many, also with expireOnCommit off', async () => {
    const trusting = env.factory.open({ expireOnCommit: false });
    const [one, two] = [1, 2].map((n) => Object.assign(new Kept(), { value: `${n}` })) as [Kept, Kept];
    trusting.addAll([one, two]);
    await trusting.commit();
    one.value = 'x';
    two.value = 'x';
    await trusting.commit();
    expect([one.version, two.version]).toEqual([110, 110]);
    await env.database.query(`UPDATE kept SET value = 'rival' WHERE id = ${two.id}`);
    one.value = 'y';
    two.value = 'y';
    await expect(trusting.commit()).rejects.toMatchObject({ code: 'UOW_STALE_DATA', expectedVersion: 110, found: 120 });
    trusting.delete(two);
    await expect(trusting.commit()).rejects.toMatchObject({ code: 'UOW_STALE_DATA' });
    await trusting.close();
  });

  test('is left to the database by bulk statements', async () => {
    await session.bulkInsert(Kept, [{ value: 'a' }]);
    await session.bulkUpdate(Kept, { value: 'a' }, { value: 'b' });
    await session.commit();
    expect(await versions()).toEqual([{ version: 110, value: 'b' }]);
  });
});

test('SA-290: with expireOnCommit off, a stale version is still found', async () => {
  const trusting = env.factory.open({ expireOnCommit: false });
  const foo = await trusting.getOrFail(Foo, 1);
  foo.value = 'a';
  await trusting.commit();
  await env.database.query('UPDATE foos SET version = 9 WHERE id = 1');
  foo.value = 'b';
  await expect(trusting.commit()).rejects.toMatchObject({ code: 'UOW_STALE_DATA', expectedVersion: 2 });
  await trusting.close();
});

test.each([
  ['update', 'FOR NO KEY UPDATE OF t'],
  ['update key', 'FOR UPDATE OF t'],
  ['share', 'FOR SHARE OF t'],
  ['key share', 'FOR KEY SHARE OF t'],
] as const)("SA-293: the lock '%s' sends %s, with NOWAIT or SKIP LOCKED behind it", async (lock, clause) => {
  await session.get(Foo, 1, { lock });
  await session.get(Foo, 1, { lock, nowait: true });
  await session.get(Foo, 1, { lock, skipLocked: true });
  expect(env.statements().map((sql) => sql.slice(sql.indexOf('FOR ')))).toEqual([
    clause,
    `${clause} NOWAIT`,
    `${clause} SKIP LOCKED`,
  ]);
});

test('SA-293: a lock of find locks the rows of the entity, in key order', async () => {
  await session.find(Foo, { where: { value: 'f1' }, lock: 'update' });
  expect(env.statements()[0]).toMatch(/ORDER BY "e"\."id" ASC FOR NO KEY UPDATE OF "e"$/);
});
