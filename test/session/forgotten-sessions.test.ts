import { setTimeout as pause } from 'node:timers/promises';
import type { DbSession } from '../../libs/uow/src/session/db-session.js';
import { collectGarbage } from '../support/collect-garbage.js';
import { SA_ENTITIES, SA_TABLES, User } from './sa-entities.js';
import { SessionUnderTest } from './session-under-test.js';

/** Sessions that nobody closed, and that nobody holds any more. */

/** Rounds in which what nobody holds is surely found, and those after which it would have been found. */
const PATIENT = 30;
const ENOUGH = 4;

let env: SessionUnderTest;

beforeAll(async () => {
  env = await SessionUnderTest.start({ entities: SA_ENTITIES });
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  await env.database.query(`TRUNCATE ${SA_TABLES} RESTART IDENTITY CASCADE; INSERT INTO users (name) VALUES ('ed')`);
  env.reports.length = 0;
});

/** Uses a session in a function of its own, so that nothing here holds it afterwards. */
async function use(work: (session: DbSession) => Promise<unknown>): Promise<WeakRef<DbSession>> {
  const session = env.factory.open();
  await work(session);
  return new WeakRef(session);
}

/** @param rounds of collecting; each takes long where the process has run other tests before */
async function collected(forgotten: WeakRef<DbSession>, rounds: number): Promise<boolean> {
  for (let round = 0; round < rounds; round++) {
    // Finalizers run in a task of their own, after the one in which the object was found unreachable.
    await pause(10);
    collectGarbage();
    if (forgotten.deref() === undefined) {
      await pause(50);
      return true;
    }
  }
  return false;
}

test('one that was read with is reported when it is collected, with where it was opened', async () => {
  const forgotten = await use((session) => session.find(User));
  expect(await collected(forgotten, PATIENT)).toBe(true);
  expect(env.reports).toMatchObject([{ code: 'UOW_WARN_SESSION_NOT_CLOSED' }]);
  expect(env.reports[0]!.message).toMatch(
    /^The session opened by DbSessionFactory\.open\(\) .*forgotten-sessions\.test\.ts:/,
  );
  expect(env.factory.openedBy).toEqual([]);
  expect(await env.factory.closeAll()).toBe(0);
});

test('one that was closed is not, whether by close(), by await using, or by closeAll()', async () => {
  const closed = await use(async (session) => {
    await session.find(User);
    await session.close();
  });
  const disposed = await use(async (given) => {
    await using session = given;
    await session.find(User);
  });
  const closedWithOthers = await use(async (session) => {
    await session.find(User);
    await env.factory.closeAll();
  });
  for (const session of [closed, disposed, closedWithOthers]) expect(await collected(session, PATIENT)).toBe(true);
  expect(env.reports).toEqual([]);
});

test('one with an open transaction is not collected: closeAll() finds it, and gives its connection back', async () => {
  const forgotten = await use(async (session) => {
    session.add(User.named('wendy'));
    await session.flush();
  });
  expect(await collected(forgotten, ENOUGH)).toBe(false);
  expect(env.factory.openedBy).toEqual([expect.stringMatching(/forgotten-sessions\.test\.ts/)]);
  expect(env.core.heldConnections).toBe(1);
  expect(await env.factory.closeAll()).toBe(1);
  expect(env.core.heldConnections).toBe(0);
  expect(await env.database.query('SELECT name FROM users')).toEqual([{ name: 'ed' }]);
});

test('an object keeps its session, which is not reported while somebody holds the object', async () => {
  let user: User | null = null;
  const forgotten = await use(async (session) => {
    user = await session.findOne(User, { where: { name: 'ed' } });
  });
  expect(await collected(forgotten, ENOUGH)).toBe(false);
  expect(env.reports).toEqual([]);
  expect(user).toMatchObject({ name: 'ed' });
});
