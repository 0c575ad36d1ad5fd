import type { DbSession } from '../../libs/uow/src/session/db-session.js';
import { Address, CASE_ENTITIES, EMPTY_ALL, Foo, User } from './case-entities.js';
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
  env.sent();
});
afterEach(async () => {
  await session.close();
});

/** Somebody else's change of a user's name. */
async function renamed(id: number, name: string): Promise<void> {
  await env.database.query('UPDATE users SET name = $2 WHERE id = $1', [id, name]);
}

test('SA-220: expire gives up changes of a value, and the next read brings the row, with one statement', async () => {
  const ed = await session.getOrFail(User, 1);
  ed.name = 'changed';
  await renamed(1, 'from the database');
  env.sent();
  session.expire(ed);
  expect(ed.name).toBe('ed');
  expect(session.dirty).toEqual([]);
  expect(env.statements()).toEqual([]);
  expect(await session.get(User, 1)).toBe(ed);
  expect(ed.name).toBe('from the database');
  expect(env.statements()).toHaveLength(1);
});

test('SA-220: expire gives up changes of a collection, which keeps its array', async () => {
  const ed = await session.findOneOrFail(User, { where: { id: 1 }, relations: { addresses: true } });
  const { addresses } = ed;
  addresses.pop();
  addresses.push(new Address({ email: 'new' }));
  session.expire(ed);
  expect(ed.addresses).toBe(addresses);
  expect(addresses.map((address) => address.email)).toEqual(['ed@a', 'ed@b']);
  await session.flush();
  expect(await env.database.query('SELECT email FROM addresses WHERE user_id = 1 ORDER BY id')).toEqual([
    { email: 'ed@a' },
    { email: 'ed@b' },
  ]);
});

test('SA-221: a query that returns an expired object brings it up to date; getting it then sends nothing', async () => {
  const ed = await session.getOrFail(User, 1);
  session.expire(ed);
  await renamed(1, 'newer');
  const [found] = await session.find(User, { where: { id: 1 } });
  expect(found).toBe(ed);
  expect(ed.name).toBe('newer');
  env.sent();
  await session.get(User, 1);
  expect(env.statements()).toEqual([]);
});

test('SA-221: after a commit, a query with relations reads the loaded collection again, too', async () => {
  const ed = await session.findOneOrFail(User, { where: { id: 1 }, relations: { addresses: true } });
  await session.commit();
  await env.database.query(`INSERT INTO addresses (user_id, email) VALUES (1, 'ed@c')`);
  await session.get(User, 1);
  await session.find(User, { where: { id: 1 }, relations: { addresses: true } });
  expect(ed.addresses.map((address) => address.email)).toEqual(['ed@a', 'ed@b', 'ed@c']);
});

test('SA-222: get of an expired object sends one statement, and the next get none', async () => {
  const ed = await session.getOrFail(User, 1);
  session.expire(ed);
  env.sent();
  await session.get(User, 1);
  expect(env.statements()).toHaveLength(1);
  await session.get(User, 1);
  expect(env.statements()).toEqual([]);
});

test('SA-223: expiring one property keeps a change of another, and reading brings only the expired one', async () => {
  await session.close();
  session = env.factory.open({ autoflush: false });
  const ed = await session.getOrFail(User, 1);
  ed.age = 31;
  ed.name = 'given up';
  session.expire(ed, ['name']);
  expect(ed.name).toBe('ed');
  await renamed(1, 'newer');
  env.sent();
  await session.get(User, 1);
  expect(env.statements()).toHaveLength(1);
  expect(ed.name).toBe('newer');
  expect(ed.age).toBe(31);
  expect(session.changesOf(ed)).toEqual({ age: { from: 30, to: 31 } });
  await session.get(User, 1);
  expect(env.statements()).toEqual([]);
});

test('SA-223: expiring a property that is not mapped is refused', async () => {
  const ed = await session.getOrFail(User, 1);
  expect(() => {
    session.expire(ed, ['nothing' as 'name']);
  }).toThrow(/no mapped property "nothing"/);
});

test('SA-224: setting an expired property reads nothing, and the flush writes it', async () => {
  const ed = await session.getOrFail(User, 1);
  session.expire(ed);
  ed.name = 'set';
  env.sent();
  await session.flush();
  const statements = env.statements();
  expect(statements).toHaveLength(1);
  expect(statements[0]).toContain('UPDATE "users"');
  await session.commit();
  expect(await env.database.query('SELECT name FROM users WHERE id = 1')).toEqual([{ name: 'set' }]);
});

test('SA-226: after an expired object was read, a flush sends nothing', async () => {
  const ed = await session.getOrFail(User, 1);
  session.expire(ed);
  await renamed(1, 'newer');
  await session.get(User, 1);
  env.sent();
  await session.flush();
  expect(session.isModified(ed)).toBe(false);
  expect(env.sent()).toEqual([]);
});

test('SA-227: get of an expired object whose row is gone gives null, and the object leaves', async () => {
  const fred = await session.getOrFail(User, 2);
  session.expire(fred);
  await env.database.query('DELETE FROM users WHERE id = 2');
  expect(await session.get(User, 2)).toBeNull();
  expect(session.inspect(fred).state).toBe('detached');
});

test('SA-227: refresh of an object whose row is gone throws, and the object leaves', async () => {
  const fred = await session.getOrFail(User, 2);
  await env.database.query('DELETE FROM users WHERE id = 2');
  await expect(session.refresh(fred)).rejects.toMatchObject({
    code: 'UOW_ENTITY_NOT_FOUND',
    message: expect.stringContaining('User 2') as string,
  });
  expect(session.has(fred)).toBe(false);
});

test('SA-228: a detached object keeps its last values, and cannot be refreshed', async () => {
  const ed = await session.getOrFail(User, 1);
  session.expire(ed);
  session.expunge(ed);
  expect(ed.name).toBe('ed');
  await expect(session.refresh(ed)).rejects.toMatchObject({ code: 'UOW_INVALID_SESSION_OPERATION' });
});

test.each(['transient', 'pending', "another session's"])(
  'SA-229: expire and refresh of an object that is %s are refused',
  async (kind) => {
    const other = env.factory.open();
    const user = kind === "another session's" ? await other.getOrFail(User, 1) : new User({ name: 'x' });
    if (kind === 'pending') session.add(user);
    expect(() => {
      session.expire(user);
    }).toThrow(expect.objectContaining({ code: 'UOW_INVALID_SESSION_OPERATION' }));
    await expect(session.refresh(user)).rejects.toMatchObject({ code: 'UOW_INVALID_SESSION_OPERATION' });
    await other.close();
  },
);

test('SA-230: an expired object and its collection are read by one statement each', async () => {
  const ed = await session.findOneOrFail(User, { where: { id: 1 }, relations: { addresses: true } });
  session.expire(ed);
  env.sent();
  await session.get(User, 1);
  await session.load(ed, { relations: ['addresses'] });
  expect(env.statements()).toHaveLength(2);
});

test('SA-231: refresh sends one statement and gives up changes and new members of collections', async () => {
  const ed = await session.findOneOrFail(User, { where: { id: 1 }, relations: { addresses: true } });
  const added = new Address({ email: 'new' });
  ed.name = 'changed';
  ed.addresses.push(added);
  await renamed(1, 'newer');
  env.sent();
  await session.refresh(ed);
  expect(env.statements()).toHaveLength(1);
  expect(ed.name).toBe('newer');
  expect(session.dirty).toEqual([]);
  expect(ed.addresses).not.toContain(added);
  await session.flush();
  expect(env.statements()).toEqual([]);
});

test('SA-232: refresh leaves collections alone unless asked to read them', async () => {
  const ed = await session.findOneOrFail(User, { where: { id: 1 }, relations: { addresses: true } });
  await env.database.query(`INSERT INTO addresses (user_id, email) VALUES (1, 'ed@c')`);
  env.sent();
  await session.refresh(ed);
  expect(env.statements()).toHaveLength(1);
  expect(ed.addresses).toHaveLength(2);
  await session.refresh(ed, { relations: ['addresses'] });
  expect(env.statements()).toHaveLength(2);
  expect(ed.addresses.map((address) => address.email)).toEqual(['ed@a', 'ed@b', 'ed@c']);
});

test('SA-232: what refresh left alone is read again by the next load', async () => {
  const ed = await session.findOneOrFail(User, { where: { id: 1 }, relations: { addresses: true } });
  await env.database.query('DELETE FROM addresses WHERE id = 2');
  await session.refresh(ed);
  await session.load(ed, { relations: ['addresses'] });
  expect(ed.addresses.map((address) => address.id)).toEqual([1]);
});

test('SA-233: after expire and refresh, a get sends nothing', async () => {
  const ed = await session.getOrFail(User, 1);
  session.expire(ed);
  await session.refresh(ed);
  env.sent();
  await session.get(User, 1);
  expect(env.statements()).toEqual([]);
});

test('SA-234: refresh with a relation gives up the changes of the objects in it', async () => {
  const ed = await session.findOneOrFail(User, { where: { id: 1 }, relations: { addresses: true } });
  const [first] = ed.addresses;
  first!.email = 'changed';
  await session.noAutoflush(() => session.refresh(ed, { relations: ['addresses'] }));
  expect(first!.email).toBe('ed@a');
  expect(session.dirty).toEqual([]);
});

test('SA-234: a new member that is pending stays in the session and leaves the collection', async () => {
  const ed = await session.findOneOrFail(User, { where: { id: 1 }, relations: { addresses: true } });
  const added = new Address({ email: 'new' });
  ed.addresses.push(added);
  session.add(added);
  session.expire(ed);
  expect(ed.addresses).not.toContain(added);
  expect(session.inspect(added).state).toBe('pending');
});

test('SA-235: refresh with a lock sends its clause, and takes over a newer version under changes', async () => {
  const [{ id }] = (await env.database.query(`INSERT INTO foos (version, value) VALUES (1, 'a') RETURNING id`)) as [
    { id: number },
  ];
  const foo = await session.getOrFail(Foo, id);
  foo.value = 'stale change';
  await env.database.query(`UPDATE foos SET version = 2, value = 'b' WHERE id = $1`, [id]);
  env.sent();
  await session.refresh(foo, { lock: 'update' });
  expect(env.statements()).toEqual([expect.stringContaining('FOR NO KEY UPDATE')]);
  expect(foo).toMatchObject({ version: 2, value: 'b' });
  foo.value = 'c';
  await session.commit();
  expect(await env.database.query('SELECT version, value FROM foos')).toEqual([{ version: 3, value: 'c' }]);
});

test('SA-236: expireAll expires every persistent object and leaves pending ones', async () => {
  const [ed, fred] = await session.getManyOrFail(User, [1, 2]);
  const added = new User({ name: 'new' });
  session.add(added);
  ed.name = 'changed';
  session.expireAll();
  expect(ed.name).toBe('ed');
  expect(session.new).toEqual([added]);
  expect(added.name).toBe('new');
  await env.database.query(`UPDATE users SET name = name || '!'`);
  await session.noAutoflush(() => session.getMany(User, [1, 2]));
  expect([ed.name, fred.name]).toEqual(['ed!', 'fred!']);
});

test('refresh of several objects of one class sends one statement', async () => {
  const users = await session.getManyOrFail(User, [1, 2]);
  await env.database.query(`UPDATE users SET name = upper(name)`);
  env.sent();
  await session.refresh(users);
  expect(env.statements()).toHaveLength(1);
  expect(users.map((user) => user.name)).toEqual(['ED', 'FRED']);
});

test('a rollback after expire in a savepoint reads the row again', async () => {
  const ed = await session.getOrFail(User, 1);
  ed.name = 'in the transaction';
  await session.flush();
  const savepoint = await session.beginNested();
  ed.name = 'in the savepoint';
  session.expire(ed, ['name']);
  expect(ed.name).toBe('in the transaction');
  await savepoint.rollback();
  expect(ed.name).toBe('in the transaction');
  await session.rollback();
  expect(ed.name).toBe('ed');
});
