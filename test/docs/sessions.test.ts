import { SessionUnderTest } from '../session/session-under-test.js';
import * as examples from './examples/sessions.js';

/** Runs what the guides to sessions show. */
const { User, Account } = examples;
let env: SessionUnderTest;

beforeAll(async () => {
  env = await SessionUnderTest.start({ entities: [User, Account] });
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  await env.database.query('TRUNCATE "user", account RESTART IDENTITY CASCADE');
  await env.database.query(`INSERT INTO "user" (name) VALUES ('Ann'), ('Bob')`);
  await env.database.query(
    `INSERT INTO account (balance, "ownerId", version) VALUES (100, 1, 1), (50, 1, 1), (7, 2, 1)`,
  );
});

const names = async (): Promise<string[]> =>
  (await env.database.query<{ name: string }>('SELECT name FROM "user" ORDER BY id')).map(({ name }) => name);
const rows = (): Promise<unknown[]> => env.database.query('SELECT balance, "ownerId" FROM account ORDER BY id');

test('begin() commits and closes', async () => {
  await examples.register(env.factory, 'Cid', 'Dot');
  expect(await names()).toEqual(['Ann', 'Bob', 'Cid', 'Dot']);
});

test('a session of one’s own', async () => {
  await examples.rename(env.factory, 2, 'Robert');
  expect(await names()).toEqual(['Ann', 'Robert']);
});

test('a flush brings the key, and commits nothing', async () => {
  await using session = env.factory.open();
  expect(await examples.keyBeforeCommit(session)).toBe(3);
  expect(await names()).toEqual(['Ann', 'Bob']);
});

test('the states of an object', async () => {
  expect(await examples.states(env.factory)).toEqual(['transient', 'pending', 'persistent', 'detached']);
});

test('a rollback takes memory back', async () => {
  await using session = env.factory.open();
  expect((await examples.rollBack(session, 1)).name).toBe('Ann');
  expect(await names()).toEqual(['Ann', 'Bob']);
});

test('a savepoint’s rollback leaves what was before it', async () => {
  await using session = env.factory.open();
  await examples.tryAPart(session, 1);
  expect(await names()).toEqual(['kept', 'Bob']);
});

test('relations of many objects in one query', async () => {
  await using session = env.factory.open();
  env.sent();
  expect([...(await examples.balances(session))]).toEqual([
    ['Ann', 150],
    ['Bob', 7],
  ]);
  expect(env.statements()).toHaveLength(2);
});

test('moving between collections', async () => {
  await using session = env.factory.open();
  await examples.move(session, 1, 2);
  expect(await rows()).toEqual([100, 50, 7].map((balance) => ({ balance, ownerId: 2 })));
});

test('a transfer under locks', async () => {
  await using session = env.factory.open();
  await examples.transfer(session, 1, 3, 30);
  expect(await rows()).toMatchObject([{ balance: 70 }, { balance: 50 }, { balance: 37 }]);
});

test('a stale row is found, and told', async () => {
  await using session = env.factory.open();
  const outcome = await examples.withdraw(session, 1, 30, () =>
    env.database.query('UPDATE account SET balance = 20, version = 2 WHERE id = 1'),
  );
  expect(outcome).toEqual({ expected: 1, found: 2 });
  expect(await rows()).toMatchObject([{ balance: 20 }, {}, {}]);
});
