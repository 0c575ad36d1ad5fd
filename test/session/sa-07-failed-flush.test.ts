import type { DbSession } from '../../libs/uow/src/session/db-session.js';
import { inspectEntity } from '../../libs/uow/src/session/inspect.js';
import { SA_ENTITIES, SA_TABLES, User } from './sa-entities.js';
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

const twice = (): User[] => ['ed', 'jack'].map((name) => Object.assign(User.named(name), { id: 1 }));

test('SA-170: a flush that fails makes the session inactive', async () => {
  session.addAll(twice());
  await expect(session.flush()).rejects.toMatchObject({ code: 'UOW_UNIQUE_VIOLATION', table: 'users' });
  expect(session.isActive).toBe(false);
  await session.rollback();
  expect(session.isActive).toBe(true);
});

test('SA-171: until the rollback everything is refused, with the first failure in the message, however often', async () => {
  session.addAll(twice());
  const first = await session.flush().catch((error: unknown) => error);
  for (let at = 0; at < 5; at++) {
    for (const operate of [() => session.flush(), () => session.find(User), () => session.execute('SELECT 1')]) {
      const refused = (await operate().catch((error: unknown) => error)) as Error;
      expect(refused).toMatchObject({ code: 'UOW_PENDING_ROLLBACK' });
      expect(refused.message).toMatch(/duplicate key/);
      expect(refused.cause).toBeDefined();
    }
  }
  expect(first).toMatchObject({ code: 'UOW_UNIQUE_VIOLATION' });
  await session.rollback();
  expect(await session.find(User)).toEqual([]);
});

test('SA-174: what was done while the session was inactive is gone after the rollback', async () => {
  const user = User.named('wendy');
  session.add(user);
  await session.commit();
  session.addAll(twice().map((one) => Object.assign(one, { id: user.id })));
  await expect(session.flush()).rejects.toThrow();
  const late = User.named('late');
  session.add(late);
  user.name = 'changed';
  session.delete(user);
  await session.rollback();
  expect(inspectEntity(late).state).toBe('transient');
  expect(user.name).toBe('wendy');
  expect(session.deleted).toEqual([]);
  expect(session.dirty).toEqual([]);
});

test('a commit that fails rolls back, and the session can be used again', async () => {
  session.addAll(twice());
  await expect(session.commit()).rejects.toMatchObject({ code: 'UOW_UNIQUE_VIOLATION' });
  expect(session.inTransaction).toBe(false);
  session.add(User.named('ed'));
  await session.commit();
  expect(await session.count(User)).toBe(1);
});

test('inside a savepoint a failed flush leaves the outer work standing', async () => {
  session.add(User.named('outer'));
  const nested = await session.beginNested();
  session.addAll([Object.assign(User.named('a'), { id: 7 }), Object.assign(User.named('b'), { id: 7 })]);
  await expect(session.flush()).rejects.toMatchObject({ code: 'UOW_UNIQUE_VIOLATION' });
  expect(session.isActive).toBe(false);
  await nested.rollback();
  expect(session.isActive).toBe(true);
  await session.commit();
  expect(await env.database.query('SELECT name FROM users')).toEqual([{ name: 'outer' }]);
});

test('nothing of a failed flush is on the objects', async () => {
  const user = User.named('fine');
  session.addAll([user, ...twice()]);
  await expect(session.flush()).rejects.toThrow();
  expect(user.id).toBeUndefined();
  expect(inspectEntity(user).state).toBe('pending');
});
