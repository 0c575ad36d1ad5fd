import type { DbSession } from '../../libs/uow/src/session/db-session.js';
import { CASE_ENTITIES, EMPTY_ALL, User } from './case-entities.js';
import { SessionUnderTest } from './session-under-test.js';

const NAMES = ['afterBegin', 'beforeFlush', 'afterFlush', 'beforeCommit', 'afterCommit', 'afterRollback'] as const;

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
  session = env.factory.open();
});
afterEach(async () => {
  await session.close();
});

/** Names of the events in the order in which they come, from now on. */
function recorded(): string[] {
  const order: string[] = [];
  for (const name of NAMES) {
    session.on(name, () => {
      order.push(name);
    });
  }
  session.on('stateChange', ({ from, to }) => {
    order.push(`${from} to ${to}`);
  });
  return order;
}

test('SA-310: adding and committing', async () => {
  const order = recorded();
  session.add(new User({ name: 'ed' }));
  await session.commit();
  expect(order).toEqual([
    'transient to pending',
    'beforeCommit',
    'beforeFlush',
    'afterBegin',
    'pending to persistent',
    'afterFlush',
    'afterCommit',
  ]);
});

test('SA-311: a commit whose flush fails rolls back, and tells so once', async () => {
  const order = recorded();
  session.add(new User({}));
  await expect(session.commit()).rejects.toMatchObject({ code: 'UOW_NOT_NULL_VIOLATION' });
  await session.rollback();
  expect(order.filter((name) => name !== 'afterBegin')).toEqual([
    'transient to pending',
    'beforeCommit',
    'beforeFlush',
    'pending to transient',
    'afterRollback',
  ]);
});

test('SA-312: committing a change in a transaction that has begun tells of no second begin', async () => {
  const ed = new User({ name: 'ed' });
  session.add(ed);
  await session.flush();
  const order = recorded();
  ed.name = 'Ed';
  await session.commit();
  expect(order).toEqual(['beforeCommit', 'beforeFlush', 'afterFlush', 'afterCommit']);
});

test('SA-313: afterBegin comes once for each transaction', async () => {
  const order = recorded();
  for (const name of ['a', 'b']) {
    session.add(new User({ name }));
    await session.flush();
    await session.count(User);
    await session.commit();
  }
  expect(order.filter((name) => name === 'afterBegin')).toHaveLength(2);
});

test('SA-314: a query in a listener of the begin does not begin again', async () => {
  const order = recorded();
  let counted: Promise<number> | undefined;
  session.on('afterBegin', () => {
    counted = session.noAutoflush(() => session.count(User));
  });
  session.add(new User({ name: 'ed' }));
  await session.flush();
  expect(await counted).toBeGreaterThanOrEqual(0);
  expect(order.filter((name) => name === 'afterBegin')).toHaveLength(1);
});

test('SA-315: behind a flush nothing is new, changed or to be deleted any more', async () => {
  const [ed, fred] = [new User({ name: 'ed' }), new User({ name: 'fred' })];
  session.addAll([ed, fred]);
  await session.flush();
  ed.name = 'Ed';
  session.delete(fred);
  session.add(new User({ name: 'new' }));
  const left: number[] = [];
  session.on('afterFlush', () => {
    left.push(session.new.length, session.dirty.length, session.deleted.length);
  });
  await session.flush();
  expect(left).toEqual([0, 0, 0]);
});

test('SA-315: the event of a flush has the objects that it wrote, whether COMMIT follows or not', async () => {
  const [ed, fred, jack] = [new User({ name: 'ed' }), new User({ name: 'fred' }), new User({ name: 'jack' })];
  const written: unknown[] = [];
  session.on('afterFlush', ({ inserted, updated, deleted }) => {
    written.push({ inserted, updated, deleted });
  });
  session.addAll([ed, fred, jack]);
  await session.flush();
  ed.name = 'Ed';
  session.delete(fred);
  const added = new User({ name: 'new' });
  session.add(added);
  await session.commit();
  expect(written).toEqual([
    { inserted: [ed, fred, jack], updated: [], deleted: [] },
    { inserted: [added], updated: [ed], deleted: [fred] },
  ]);
});

test('SA-316: listeners of the factory hear all its sessions, those of a session only that one', async () => {
  const heard: string[] = [];
  const stop = env.factory.on('afterCommit', () => {
    heard.push('factory');
  });
  session.on('afterCommit', () => {
    heard.push('session');
  });
  session.add(new User({ name: 'a' }));
  await session.commit();
  await env.factory.begin((other) => {
    other.add(new User({ name: 'b' }));
  });
  stop();
  await env.factory.begin((other) => {
    other.add(new User({ name: 'c' }));
  });
  expect(heard.sort()).toEqual(['factory', 'factory', 'session']);
});
