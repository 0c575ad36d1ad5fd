import { setTimeout as pause } from 'node:timers/promises';
import { SA_ENTITIES, SA_TABLES, User } from './sa-entities.js';
import { SessionUnderTest } from './session-under-test.js';

/** The five mistakes with sessions that tutorials warn of, each made on purpose: impossible here, or named. */

let env: SessionUnderTest;

beforeAll(async () => {
  env = await SessionUnderTest.start({ entities: SA_ENTITIES, options: { warnAfter: 60 } });
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  await env.database.query(`TRUNCATE ${SA_TABLES} RESTART IDENTITY CASCADE`);
  env.reports.length = 0;
});

test('no rollback after an error: everything is refused, with the first failure, until there is one', async () => {
  const session = env.factory.open();
  session.addAll(['a', 'b'].map((name) => Object.assign(User.named(name), { id: 1 })));
  await session.flush().catch(() => undefined);
  await expect(session.find(User)).rejects.toMatchObject({ code: 'UOW_PENDING_ROLLBACK' });
  await session.rollback();
  expect(await session.find(User)).toEqual([]);
  await session.close();
});

test('a session kept open too long: a transaction open for longer than warnAfter is reported, with who opened it', async () => {
  const session = env.factory.open();
  await session.execute('SELECT 1');
  await pause(200);
  const [warning] = env.reports;
  expect(warning).toMatchObject({ code: 'UOW_WARN_SESSION_OPEN_TOO_LONG' });
  expect(warning!.message).toMatch(/common-mistakes\.test\.ts/);
  await pause(130);
  expect(env.reports).toHaveLength(1);
  await session.close();
});

test('a session that is open without a transaction holds nothing and is not reported', async () => {
  const session = env.factory.open();
  await session.find(User);
  await pause(200);
  expect(env.reports).toEqual([]);
  await session.close();
});

test('a global session: the injected one belongs to the running request, and there is none outside', async () => {
  await expect(env.session.find(User)).rejects.toMatchObject({ code: 'UOW_NO_SESSION' });
  expect(() => env.session.add(User.named('ed'))).toThrow(/outside every request/);
  const ids = await Promise.all(
    [1, 2].map((n) => env.manager.runInContext(`request ${n}`, () => Promise.resolve(env.session.id))),
  );
  expect(ids[0]).not.toBe(ids[1]);
});

test('a session that is not closed: closing the factory tells how many there were, and leaves nothing open', async () => {
  const session = env.factory.open();
  session.add(User.named('ed'));
  await session.flush();
  expect(env.factory.openedBy.some((place) => place.includes('common-mistakes.test.ts'))).toBe(true);
  expect(await env.factory.closeAll()).toBe(1);
  expect(env.core.heldConnections).toBe(0);
  expect(await env.database.query('SELECT * FROM users')).toEqual([]);
});

test('flushed is not committed: what a session has not committed is told before it is lost', async () => {
  const session = env.source.open({});
  session.unit.add(User.named('ed'));
  expect(session.describeUncommittedWork()).toBe('1 new object');
  await session.flush();
  expect(session.hasUncommittedWork).toBe(true);
  expect(session.describeUncommittedWork()).toMatch(/a transaction begun by session\.flush\(\)/);
  await session.commit();
  expect(session.describeUncommittedWork()).toBeNull();
  await session.context.close();
});
