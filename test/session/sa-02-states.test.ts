import type { DbSession } from '../../libs/uow/src/session/db-session.js';
import { inspectEntity } from '../../libs/uow/src/session/inspect.js';
import { Address, SA_ENTITIES, SA_TABLES, User } from './sa-entities.js';
import { SessionUnderTest } from './session-under-test.js';

let env: SessionUnderTest;
let session: DbSession;
let moves: string[];

beforeAll(async () => {
  env = await SessionUnderTest.start({ entities: SA_ENTITIES });
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  await env.database.query(`TRUNCATE ${SA_TABLES} RESTART IDENTITY CASCADE`);
  session = env.factory.open();
  moves = [];
  session.on('stateChange', ({ from, to }) => {
    moves.push(`${from} → ${to}`);
  });
  env.sent();
});
afterEach(async () => {
  await session.close();
});

const stored = async (name: string): Promise<User> => {
  const user = User.named(name);
  session.add(user);
  await session.commit();
  moves.length = 0;
  env.sent();
  return user;
};
const names = async (): Promise<string[]> =>
  (await env.database.query<{ name: string }>('SELECT name FROM users ORDER BY id')).map(({ name }) => name);

test('SA-030: an added object is pending, and persistent with an identity after the flush', async () => {
  const user = User.named('ed');
  expect(inspectEntity(user).state).toBe('transient');
  session.add(user);
  expect(inspectEntity(user).state).toBe('pending');
  expect(session.new).toEqual([user]);
  expect(session.has(user)).toBe(true);
  await session.flush();
  expect(inspectEntity(user)).toMatchObject({ state: 'persistent', identity: { id: user.id } });
  expect(session.new).toEqual([]);
});

test('SA-031: a second flush makes nothing persistent again', async () => {
  const user = User.named('ed');
  session.add(user);
  await session.flush();
  user.name = 'jack';
  await session.flush();
  expect(moves).toEqual(['transient → pending', 'pending → persistent']);
});

test('SA-032: a pending object is transient after a rollback and keeps its values', async () => {
  const user = User.named('ed');
  session.add(user);
  await session.rollback();
  expect(inspectEntity(user).state).toBe('transient');
  expect(session.has(user)).toBe(false);
  expect(user.name).toBe('ed');
  expect(moves).toEqual(['transient → pending', 'pending → transient']);
});

test('SA-033: expunging a pending object makes it transient', () => {
  const user = User.named('ed');
  session.add(user);
  session.expunge(user);
  expect(inspectEntity(user).state).toBe('transient');
  expect(session.new).toEqual([]);
});

test('SA-034: an object flushed in the transaction is transient after the rollback, without its key, and can be added again', async () => {
  const user = User.named('ed');
  session.add(user);
  await session.flush();
  await session.rollback();
  expect(inspectEntity(user)).toMatchObject({ state: 'transient', identity: null });
  expect(user.id).toBeUndefined();
  session.add(user);
  await session.commit();
  expect(await names()).toEqual(['ed']);
});

test('SA-035: delete only marks; the flush makes the object deleted', async () => {
  const user = await stored('ed');
  session.delete(user);
  expect(session.deleted).toEqual([user]);
  expect(session.has(user)).toBe(true);
  expect(moves).toEqual([]);
  await session.flush();
  expect(session.has(user)).toBe(false);
  expect(session.deleted).toEqual([]);
  expect(inspectEntity(user).state).toBe('deleted');
  expect(moves).toEqual(['persistent → deleted']);
});

test('SA-036: a deleted object is detached after the commit', async () => {
  const user = await stored('ed');
  session.delete(user);
  await session.commit();
  expect(inspectEntity(user).state).toBe('detached');
  expect(moves).toEqual(['persistent → deleted', 'deleted → detached']);
});

test('SA-037: a deleted object is persistent again after the rollback', async () => {
  const user = await stored('ed');
  session.delete(user);
  await session.flush();
  await session.rollback();
  expect(inspectEntity(user).state).toBe('persistent');
  expect(session.has(user)).toBe(true);
  expect(session.deleted).toEqual([]);
  expect(moves).toEqual(['persistent → deleted', 'deleted → persistent']);
});

test('SA-038: a mark to delete that was not flushed is gone after the rollback', async () => {
  const user = await stored('ed');
  session.delete(user);
  await session.rollback();
  expect(inspectEntity(user).state).toBe('persistent');
  expect(session.deleted).toEqual([]);
  await session.commit();
  expect(await names()).toEqual(['ed']);
});

test('SA-040: only what was added since the commit leaves with the rollback', async () => {
  const ed = await stored('ed');
  const jack = User.named('jack');
  session.add(jack);
  await session.rollback();
  expect(session.has(ed)).toBe(true);
  expect(session.has(jack)).toBe(false);
});

test('SA-041: a deleted object cannot be added, before or after the commit, until it is made transient', async () => {
  const user = await stored('ed');
  session.delete(user);
  await session.flush();
  expect(() => session.add(user)).toThrow(/was deleted/);
  await session.commit();
  expect(() => session.add(user)).toThrow(/was deleted/);
  session.makeTransient(user);
  session.add(user);
  await session.commit();
  expect(await names()).toEqual(['ed']);
});

test('SA-042: deleting what has no row is refused', () => {
  const user = User.named('ed');
  expect(() => session.delete(user)).toThrow(/not persisted/);
  session.add(user);
  expect(() => session.delete(user)).toThrow(/not persisted/);
});

test('SA-044: an object of another open session is refused, both sessions are named, and nothing has changed', async () => {
  const user = await stored('ed');
  const other = env.factory.open({ label: 'the other' });
  for (const operation of ['add', 'delete'] as const) {
    expect(() => other[operation](user)).toThrow(
      new RegExp(`session ${session.id}.*session ${other.id} \\(the other\\)`),
    );
  }
  expect(other.has(user)).toBe(false);
  expect(session.has(user)).toBe(true);
  await other.close();
});

test('SA-046: a detached object that was changed outside sessions is dirty once added, an unchanged one is not', async () => {
  const [ed, jack] = [await stored('ed'), await stored('jack')];
  await session.close();
  ed.name = 'edward';
  session.add(ed);
  session.add(jack);
  expect(session.dirty).toEqual([ed]);
  await session.commit();
  expect(await names()).toEqual(['edward', 'jack']);
});

test('SA-047: what was expunged after its flush stays out at the rollback', async () => {
  const user = User.named('ed');
  session.add(user);
  await session.flush();
  session.expunge(user);
  await session.rollback();
  expect(session.has(user)).toBe(false);
  expect(inspectEntity(user).session).toBeNull();
});

test('SA-050: expunging an object that is not in the session is refused', () => {
  expect(() => session.expunge(User.named('ed'))).toThrow(/not in the session/);
});

test('SA-051: adding an object twice inserts it once', async () => {
  const user = User.named('ed');
  session.add(user);
  session.add(user);
  expect(session.new).toHaveLength(1);
  await session.commit();
  expect(await names()).toEqual(['ed']);
});

test('SA-052: get gives one instance for a row and sends SQL once; after expungeAll it gives another', async () => {
  const { id } = await stored('ed');
  session.expungeAll();
  const first = await session.get(User, id);
  expect(await session.get(User, id)).toBe(first);
  expect(env.statements()).toHaveLength(1);
  session.expungeAll();
  expect(await session.get(User, id)).not.toBe(first);
});

test('SA-053: get with a lock always sends SQL, without one it does not', async () => {
  const { id } = await stored('ed');
  await session.begin();
  const user = await session.get(User, id, { lock: 'update' });
  env.sent();
  expect(await session.get(User, id)).toBe(user);
  expect(await session.get(User, id, {})).toBe(user);
  expect(env.statements()).toHaveLength(0);
  expect(await session.get(User, id, { lock: 'update' })).toBe(user);
  expect(env.statements()).toHaveLength(1);
});

test('SA-054: populateExisting reads again and overwrites; without it loaded values stay', async () => {
  const { id } = await stored('ed');
  await session.begin();
  const user = await session.getOrFail(User, id);
  await session.execute('UPDATE users SET name = $1', ['changed']);
  expect((await session.get(User, id))!.name).toBe('ed');
  expect((await session.get(User, id, { populateExisting: true }))!.name).toBe('changed');
  expect(user.name).toBe('changed');
});

test('SA-055: a missing row is null for get and an error for getOrFail', async () => {
  expect(await session.get(User, 99)).toBeNull();
  await expect(session.getOrFail(User, 99)).rejects.toMatchObject({
    code: 'UOW_ENTITY_NOT_FOUND',
    entity: 'User',
    key: 99,
  });
});

test('SA-056: two queries give one instance, and the second overwrites nothing that was loaded', async () => {
  const { id } = await stored('ed');
  await session.begin();
  const user = (await session.find(User, { where: { name: 'ed' } }))[0]!;
  await session.execute('UPDATE users SET name = $1', ['changed']);
  const again = (await session.find(User, { where: { id } }))[0]!;
  expect(again).toBe(user);
  expect(again.name).toBe('ed');
});

test('SA-057: makeTransient takes a persistent object out for good; it can be added as new, and saying it twice is fine', async () => {
  const user = await stored('ed');
  session.makeTransient(user);
  session.makeTransient(user);
  expect(inspectEntity(user)).toMatchObject({ state: 'transient', identity: null, session: null });
  Reflect.deleteProperty(user, 'id');
  session.add(user);
  await session.commit();
  expect(await names()).toEqual(['ed', 'ed']);
});

test('SA-058: an object made transient after its deletion stays transient at the rollback', async () => {
  const user = await stored('ed');
  session.delete(user);
  await session.flush();
  session.makeTransient(user);
  await session.rollback();
  expect(inspectEntity(user).state).toBe('transient');
  expect(await names()).toEqual(['ed']);
});

test('SA-059: makeTransientToDetached lets an object with a key be added without SQL, and its other columns be read', async () => {
  const { id } = await stored('ed');
  session.expungeAll();
  const user = Object.assign(new User(), { id });
  session.makeTransientToDetached(user);
  expect(inspectEntity(user).state).toBe('detached');
  session.add(user);
  expect(env.sent()).toEqual([]);
  expect(await session.get(User, id)).toBe(user);
  expect(user.name).toBe('ed');
  expect(() => session.makeTransientToDetached(user)).toThrow(/persistent/);
  const pending = User.named('jack');
  session.add(pending);
  expect(() => session.makeTransientToDetached(pending)).toThrow(/pending/);
});

test('SA-060: an instance of no entity is refused with its class named, before anything changes', () => {
  class Unknown {}
  const unknown = new Unknown();
  for (const operation of ['add', 'delete', 'expunge', 'makeTransient', 'isModified'] as const) {
    expect(() => session[operation](unknown)).toThrow(/Unknown/);
  }
  expect(session.new).toEqual([]);
  expect(inspectEntity(unknown).state).toBe('transient');
});

test('SA-061: deleteAll deletes all at the flush, in one statement', async () => {
  const [a, b] = [await stored('a'), await stored('b')];
  session.deleteAll([a, b]);
  await session.commit();
  expect(env.statements().filter((sql) => sql.includes('DELETE FROM'))).toHaveLength(1);
  expect(await names()).toEqual([]);
});

test('an object that adding reaches by its relations is pending with it', () => {
  const address = Address.of('ed@x');
  const user = User.named('ed', address);
  session.add(user);
  expect(session.new).toEqual([user, address]);
});
