import type { DbSession } from '../../libs/uow/src/session/db-session.js';
import { Address, CASE_ENTITIES, EMPTY_ALL, Foo, Item, Keyword, Membership, User } from './case-entities.js';
import { SessionUnderTest } from './session-under-test.js';

let env: SessionUnderTest;
let session: DbSession;

beforeAll(async () => {
  env = await SessionUnderTest.start({ entities: CASE_ENTITIES });
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  await env.database.query(EMPTY_ALL);
  await env.database.query(`INSERT INTO users (name, age) VALUES ('ed', 30), ('fred', 40)`);
  await env.database.query(`INSERT INTO addresses (user_id, email) VALUES (1, 'ed@a'), (1, 'ed@b')`);
  session = env.factory.open();
  env.reports.length = 0;
  env.sent();
});
afterEach(async () => {
  await session.close();
});

/** As a cache or an earlier request would have it: loaded, and of no session any more. */
async function detached(id: number, relations = {}): Promise<User> {
  const other = env.factory.open();
  const user = await other.findOneOrFail(User, { where: { id }, relations });
  await other.close();
  env.sent();
  return user;
}

test('SA-240: with a key and without a row, one query and a new pending copy; the given object stays outside', async () => {
  const given = new User({ id: 7, name: 'new' });
  const merged = await session.merge(given);
  expect(env.statements()).toHaveLength(1);
  expect(merged).not.toBe(given);
  expect(merged).toMatchObject({ id: 7, name: 'new' });
  expect(session.inspect(merged).state).toBe('pending');
  expect(session.has(given)).toBe(false);
  await session.commit();
  expect(await env.database.query('SELECT name FROM users WHERE id = 7')).toEqual([{ name: 'new' }]);
});

test('SA-241: without a key, no query and a pending copy', async () => {
  const merged = await session.merge(new User({ name: 'new' }));
  expect(env.statements()).toEqual([]);
  expect(session.inspect(merged).state).toBe('pending');
});

test('SA-242: with a row, the session’s object gets the values, and only what differs is written', async () => {
  const merged = await session.merge(new User({ id: 1, name: 'ed', age: 31 }));
  expect(session.inspect(merged).state).toBe('persistent');
  expect(session.changesOf(merged)).toEqual({ age: { from: 30, to: 31 } });
  env.sent();
  await session.flush();
  const [update, ...more] = env.statements();
  expect(more).toEqual([]);
  expect(update).toMatch(/SET "age" = \$1 WHERE/);
});

test('SA-243: onto an object that the session has, no query, and the same instance', async () => {
  const ed = await session.getOrFail(User, 1);
  env.sent();
  const merged = await session.merge(new User({ id: 1, name: 'Edward' }));
  expect(merged).toBe(ed);
  expect(ed).toMatchObject({ name: 'Edward', age: 30 });
  expect(env.statements()).toEqual([]);
});

test('SA-243: an object of the session is merged onto itself', async () => {
  const ed = await session.getOrFail(User, 1);
  expect(await session.merge(ed)).toBe(ed);
});

test('SA-244: an object that is pending in the session is given back with a warning', async () => {
  const pending = new User({ name: 'new' });
  session.add(pending);
  const merged = await session.noAutoflush(() => session.merge(pending));
  expect(merged).toBe(pending);
  expect(env.reports.map((report) => report.code)).toEqual(['UOW_WARN_MERGE_OF_PENDING']);
});

test('SA-246: a collection that was never set leaves the session’s alone', async () => {
  const ed = await session.findOneOrFail(User, { where: { id: 1 }, relations: { addresses: true } });
  await session.merge(new User({ id: 1, name: 'Edward' }));
  expect(ed.addresses).toHaveLength(2);
});

test('a collection that was set replaces the contents, in the array that is there', async () => {
  const ed = await session.findOneOrFail(User, { where: { id: 1 }, relations: { addresses: true } });
  const { addresses } = ed;
  const given = new User({ id: 1, addresses: [new Address({ id: 2 }), new Address({ email: 'ed@c' })] });
  await session.merge(given);
  expect(ed.addresses).toBe(addresses);
  await session.commit();
  expect(await env.database.query('SELECT email, user_id FROM addresses ORDER BY id')).toEqual([
    { email: 'ed@a', user_id: null },
    { email: 'ed@b', user_id: 1 },
    { email: 'ed@c', user_id: 1 },
  ]);
});

test('a collection that the session has not loaded is read, so that what it loses is known', async () => {
  await session.merge(new User({ id: 1, addresses: [new Address({ id: 1, email: 'changed' })] }));
  await session.commit();
  expect(await env.database.query('SELECT email, user_id FROM addresses ORDER BY id')).toEqual([
    { email: 'changed', user_id: 1 },
    { email: 'ed@b', user_id: null },
  ]);
});

test('a graph that was detached, changed and merged takes one query for each table', async () => {
  const given = await detached(1, { addresses: true });
  given.addresses[0]!.email = 'changed';
  const merged = await session.merge(given);
  // Users, addresses, and what the collection holds by now.
  expect(env.statements().length).toBeLessThanOrEqual(3);
  expect(merged.addresses[0]).not.toBe(given.addresses[0]);
  expect(session.dirty).toEqual([merged.addresses[0]]);
  // The given ones do not say whose they are.
  expect(merged.addresses[0]!.user).toBeUndefined();
});

test('a graph whose objects refer to each other is no change where the rows say the same', async () => {
  const given = await detached(1, { addresses: true });
  for (const address of given.addresses) address.user = given;
  const merged = await session.merge(given);
  expect(session.dirty).toEqual([]);
  expect(merged.addresses.map(({ user }) => user)).toEqual([merged, merged]);
});

test('many-to-many collections are merged by their links', async () => {
  session.add(new Item({ description: 'one', keywords: [new Keyword({ name: 'red' }), new Keyword({ name: 'big' })] }));
  await session.commit();
  session.expungeAll();
  await session.merge(new Item({ id: 1, keywords: [new Keyword({ id: 2 }), new Keyword({ name: 'new' })] }));
  await session.commit();
  expect(await env.database.query('SELECT keyword_id FROM item_keywords ORDER BY 1')).toEqual([
    { keyword_id: 2 },
    { keyword_id: 3 },
  ]);
});

test('two given objects of one key become one', async () => {
  const [a, b] = await session.mergeAll([new User({ id: 9, name: 'x' }), new User({ id: 9, age: 1 })]);
  expect(a).toBe(b);
  expect(a).toMatchObject({ name: 'x', age: 1 });
});

test('SA-249: load: false copies what was loaded without a query, and nothing is to be written', async () => {
  const given = await detached(1, { addresses: true });
  const merged = await session.merge(given, { load: false });
  expect(merged).not.toBe(given);
  expect(merged.addresses.map((address) => address.email)).toEqual(['ed@a', 'ed@b']);
  expect(session.inspect(merged).state).toBe('persistent');
  await session.flush();
  expect(env.sent()).toEqual([]);
  expect(await session.get(User, 1)).toBe(merged);
  merged.name = 'Edward';
  await session.commit();
  expect(await env.database.query('SELECT name FROM users WHERE id = 1')).toEqual([{ name: 'Edward' }]);
});

test('SA-249: load: false refuses an object that was never loaded, and one with changes', async () => {
  await expect(session.merge(new User({ id: 1 }), { load: false })).rejects.toMatchObject({
    code: 'UOW_INVALID_SESSION_OPERATION',
  });
  const changed = await detached(1);
  changed.name = 'changed';
  await expect(session.merge(changed, { load: false })).rejects.toMatchObject({
    code: 'UOW_INVALID_SESSION_OPERATION',
  });
});

test('SA-250: merging a graph flushes once in front and never halfway', async () => {
  session.add(new User({ name: 'pending' }));
  let flushes = 0;
  session.on('beforeFlush', () => {
    flushes++;
  });
  const given = new User({
    id: 50,
    name: 'x',
    addresses: [new Address({ id: 1 }), new Address({ id: 60, email: 'y' })],
  });
  const merged = await session.merge(given);
  expect(flushes).toBe(1);
  expect(session.inspect(merged).state).toBe('pending');
});

test('SA-252: what is unset on a merged pending object is unset, without a query', async () => {
  const merged = await session.merge(new User({ name: 'new' }));
  env.sent();
  expect(merged.age).toBeUndefined();
  expect(env.sent()).toEqual([]);
});

test('SA-253: an incomplete composite key is not asked for', async () => {
  const merged = await session.merge(new Membership({ userId: 1 }));
  expect(env.statements()).toEqual([]);
  expect(session.inspect(merged).state).toBe('pending');
});

test('SA-253: a complete composite key is', async () => {
  await env.database.query(`INSERT INTO memberships VALUES (1, 'gold', 'a')`);
  const merged = await session.merge(new Membership({ userId: 1, status: 'gold', note: 'b' }));
  expect(env.statements()).toHaveLength(1);
  await session.commit();
  expect(merged.note).toBe('b');
  expect(await env.database.query('SELECT note FROM memberships')).toEqual([{ note: 'b' }]);
});

describe('SA-254: a versioned row', () => {
  beforeEach(async () => {
    await env.database.query(`INSERT INTO foos (version, value) VALUES (3, 'a')`);
  });

  test('without a version on the given object, it is merged, and the version counts up', async () => {
    const merged = await session.merge(new Foo({ id: 1, value: 'b' }));
    await session.commit();
    expect(merged.version).toBe(4);
  });

  test('with the same version, it is merged', async () => {
    await session.merge(new Foo({ id: 1, version: 3, value: 'b' }));
    await session.commit();
    expect(await env.database.query('SELECT version, value FROM foos')).toEqual([{ version: 4, value: 'b' }]);
  });

  test.each([true, false])('with another version, merge throws (in the session already: %s)', async (isLoaded) => {
    if (isLoaded) await session.getOrFail(Foo, 1);
    await expect(session.merge(new Foo({ id: 1, version: 2, value: 'b' }))).rejects.toMatchObject({
      code: 'UOW_STALE_DATA',
      entity: 'Foo',
      expectedVersion: 2,
    });
  });
});

test('SA-255: mergeAll gives the merged objects in order, with one query', async () => {
  const merged = await session.mergeAll([
    new User({ id: 2, age: 1 }),
    new User({ id: 1, age: 2 }),
    new User({ name: 'n' }),
  ]);
  expect(env.statements()).toHaveLength(1);
  expect(merged.map((user) => user.name)).toEqual(['fred', 'ed', 'n']);
});

test('an object of another open session is copied, and stays there', async () => {
  const other = env.factory.open();
  const theirs = await other.getOrFail(User, 1);
  theirs.name = 'changed there';
  const ours = await session.merge(theirs);
  expect(ours).not.toBe(theirs);
  expect(ours.name).toBe('changed there');
  expect(other.has(theirs)).toBe(true);
  await other.close();
});
