import type { DbSession } from '../../libs/uow/src/session/db-session.js';
import { giveOperationsLines } from '../../libs/uow/src/transaction/place.js';
import { CASE_ENTITIES, EMPTY_ALL, User } from './case-entities.js';
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
  await env.database.query(`INSERT INTO addresses (user_id, email) VALUES (1, 'a')`);
  session = env.factory.open();
  env.sent();
});
afterEach(async () => {
  await session.close();
});

test('SA-340: operations that start while the connection is being taken wait for their turn, on one connection', async () => {
  await session.begin();
  const [ed, fred, count] = await Promise.all([
    session.getOrFail(User, 1),
    session.getOrFail(User, 2),
    session.count(User),
  ]);
  expect([ed.name, fred.name, count]).toEqual(['ed', 'fred', 2]);
  expect(env.sent().filter((sql) => sql.startsWith('BEGIN'))).toHaveLength(1);
});

test.each(['commit', 'rollback', 'close'] as const)(
  'SA-341: %s while another operation is in flight is refused, and both are named',
  async (name) => {
    const counting = session.count(User);
    const refused = session[name]();
    await expect(refused).rejects.toMatchObject({
      code: 'UOW_CONCURRENT_SESSION_USE',
      message: expect.stringMatching(new RegExp(`session\\.${name}.*session\\.count\\(\\)`, 's')) as string,
    });
    expect(await counting).toBe(2);
  },
);

test('SA-343: two requests at a time have a session each, and each its own objects', async () => {
  const [first, second] = await Promise.all(
    [1, 2].map(async () => env.manager.run(async () => env.session.getOrFail(User, 1))),
  );
  expect(first).not.toBe(second);
  expect(first).toEqual(second);
});

test('SA-344: a relation is loaded by an awaited call, and one that is loaded sends nothing', async () => {
  await session.begin();
  const ed = await session.getOrFail(User, 1);
  expect(ed.addresses).toBeUndefined();
  env.sent();
  await session.load(ed, { relations: ['addresses'] });
  expect(env.statements()).toHaveLength(1);
  await session.load(ed, { relations: ['addresses'] });
  expect(env.statements()).toEqual([]);
});

test('SA-344: one read brings all columns of an expired object', async () => {
  const ed = await session.getOrFail(User, 1);
  await env.database.query(`UPDATE users SET name = 'x', age = 1 WHERE id = 1`);
  session.expire(ed);
  env.sent();
  await session.get(User, 1);
  expect(env.statements()).toHaveLength(1);
  expect(ed).toMatchObject({ name: 'x', age: 1 });
});

test('in production the line of an operation is named from the second message of a process on', async () => {
  const before = giveOperationsLines(false);
  try {
    const refusal = async (): Promise<string> => {
      const counting = session.count(User);
      const message = await session.commit().then(
        () => 'committed',
        (error: unknown) => (error as Error).message,
      );
      await counting;
      return message;
    };
    expect(await refusal()).toContain('while session.count() is in flight');
    expect(await refusal()).toMatch(
      /while session\.count\(\) \(at .*sa-17-concurrency\.test\.ts:\d+:\d+\)+ is in flight/,
    );
  } finally {
    giveOperationsLines(before);
  }
});
