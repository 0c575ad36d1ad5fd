import type { DbSession } from '../../libs/uow/src/session/db-session.js';
import { inspectEntity } from '../../libs/uow/src/session/inspect.js';
import { Address, NUser, SA_ENTITIES, SA_TABLES, User } from './sa-entities.js';
import { SessionUnderTest } from './session-under-test.js';

let env: SessionUnderTest;
let session: DbSession;

beforeAll(async () => {
  env = await SessionUnderTest.start({ entities: SA_ENTITIES });
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  await env.database.query(`TRUNCATE ${SA_TABLES} RESTART IDENTITY CASCADE`);
  session = env.factory.open();
  env.sent();
});
afterEach(async () => {
  await session.close();
});

const names = async (): Promise<string[]> =>
  (await env.database.query<{ name: string }>('SELECT name FROM users ORDER BY id')).map(({ name }) => name);

test('SA-180: beginNested flushes first, and begins a transaction where there is none', async () => {
  const user = User.named('ed');
  session.add(user);
  const nested = await session.beginNested();
  expect(inspectEntity(user).state).toBe('persistent');
  await nested.rollback();
  await session.commit();
  expect(await names()).toEqual(['ed']);
});

test('SA-181: rolling a savepoint back brings names back and drops what was added inside', async () => {
  const [u1, u2] = [User.named('u1'), User.named('u2')];
  session.addAll([u1, u2]);
  const nested = await session.beginNested();
  u1.name = 'changed 1';
  u2.name = 'changed 2';
  session.addAll([User.named('u3'), User.named('u4')]);
  expect(await session.find(User)).toHaveLength(4);
  await nested.rollback();
  expect([u1.name, u2.name]).toEqual(['u1', 'u2']);
  expect(await session.find(User)).toEqual([u1, u2]);
  await session.commit();
  expect(await names()).toEqual(['u1', 'u2']);
});

test('SA-182: releasing a savepoint expires nothing', async () => {
  const user = User.named('u1');
  session.add(user);
  const nested = await session.beginNested();
  user.name = 'changed';
  await nested.commit();
  env.sent();
  expect(await session.get(User, user.id)).toBe(user);
  expect(user.name).toBe('changed');
  expect(env.statements()).toEqual([]);
});

test('SA-183: rolling a savepoint back expires what was touched since, and leaves the rest loaded', async () => {
  const [touched, untouched] = [User.named('touched'), User.named('untouched')];
  session.addAll([touched, untouched]);
  const nested = await session.beginNested();
  touched.name = 'x';
  await session.flush();
  await nested.rollback();
  env.sent();
  await session.get(User, untouched.id);
  expect(env.statements()).toEqual([]);
  await session.get(User, touched.id);
  expect(env.statements()).toHaveLength(1);
});

test('SA-184: a child appended before the savepoint stays, one appended inside is gone', async () => {
  const user = User.named('ed');
  user.addresses = [];
  session.add(user);
  const { addresses } = user;
  const before = Address.of('before');
  addresses.push(before);
  const nested = await session.beginNested();
  addresses.push(Address.of('inside'));
  await session.flush();
  await nested.rollback();
  expect(user.addresses).toBe(addresses);
  expect(addresses).toEqual([before]);
  await session.commit();
  expect(await env.database.query('SELECT email FROM addresses')).toEqual([{ email: 'before' }]);
});

test('SA-185: what was added in a released savepoint leaves with the outer rollback', async () => {
  await session.begin();
  const nested = await session.beginNested();
  const user = User.named('ed');
  session.add(user);
  await nested.commit();
  expect(session.has(user)).toBe(true);
  await session.rollback();
  expect(inspectEntity(user).state).toBe('transient');
});

test('SA-186: what was deleted in a released savepoint is back after the outer rollback', async () => {
  const user = User.named('ed');
  session.add(user);
  await session.commit();
  await session.begin();
  const nested = await session.beginNested();
  session.delete(user);
  await nested.commit();
  expect(inspectEntity(user).state).toBe('deleted');
  await session.rollback();
  expect(inspectEntity(user).state).toBe('persistent');
  expect(await session.get(User, user.id)).toBe(user);
});

test('SA-188: a key changed in a released savepoint is back after the outer rollback', async () => {
  const user = Object.assign(new NUser(), { username: 'ed', fullname: 'Ed' });
  session.add(user);
  await session.commit();
  const nested = await session.beginNested();
  user.username = 'edward';
  await nested.commit();
  expect(await session.get(NUser, 'edward')).toBe(user);
  await session.rollback();
  expect(user.username).toBe('ed');
  expect(await session.get(NUser, 'ed')).toBe(user);
  expect(await session.get(NUser, 'edward')).toBeNull();
});

test('SA-190: close with an open savepoint rolls everything back, and the session can be used again', async () => {
  session.add(User.named('outer'));
  await session.beginNested();
  session.add(User.named('inner'));
  await session.close();
  session.add(User.named('later'));
  await session.commit();
  expect(await names()).toEqual(['later']);
});

test('SA-192: a savepoint for each row skips exactly the duplicates', async () => {
  await session.begin();
  for (const username of ['a', 'b', 'a', 'c', 'b']) {
    const nested = await session.beginNested();
    session.add(Object.assign(new NUser(), { username, fullname: username }));
    try {
      await nested.commit();
    } catch {
      await nested.rollback();
    }
  }
  await session.commit();
  expect(await env.database.query('SELECT username FROM nusers ORDER BY username')).toEqual([
    { username: 'a' },
    { username: 'b' },
    { username: 'c' },
  ]);
});

test('three levels: each goes back to where it opened', async () => {
  const user = User.named('0');
  session.add(user);
  const levels = [];
  for (const name of ['1', '2', '3']) {
    levels.push(await session.beginNested());
    user.name = name;
    await session.flush();
  }
  for (const expected of ['2', '1', '0']) {
    await levels.pop()!.rollback();
    expect(user.name).toBe(expected);
  }
  await session.commit();
  expect(await names()).toEqual(['0']);
});
