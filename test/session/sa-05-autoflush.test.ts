import type { DbSession } from '../../libs/uow/src/session/db-session.js';
import { Address, Order, SA_ENTITIES, SA_TABLES, User } from './sa-entities.js';
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

test('SA-140: a query flushes what is pending first, and gives that very instance; others still see nothing', async () => {
  const user = User.named('ed');
  session.add(user);
  expect(await session.findOne(User, { where: { name: 'ed' } })).toBe(user);
  expect(await env.database.query('SELECT * FROM users')).toEqual([]);
});

test('SA-141: inside noAutoflush a query does not see it, and it stays new; afterwards the next query flushes', async () => {
  const user = User.named('ed');
  session.add(user);
  await session.noAutoflush(async () => {
    expect(await session.find(User)).toEqual([]);
    expect(session.new).toEqual([user]);
  });
  expect(await session.find(User)).toEqual([user]);
});

test('SA-142: an error inside noAutoflush gives autoflush back', async () => {
  session.add(User.named('ed'));
  await expect(
    session.noAutoflush(() => {
      throw new Error('no');
    }),
  ).rejects.toThrow('no');
  expect(await session.count(User)).toBe(1);
});

test('SA-144: commit and beginNested flush also where autoflush is off', async () => {
  const own = env.factory.open({ autoflush: false });
  own.add(User.named('ed'));
  expect(await own.count(User)).toBe(0);
  const nested = await own.beginNested();
  expect(own.new).toEqual([]);
  own.add(User.named('jack'));
  await nested.commit();
  own.add(User.named('wendy'));
  await own.commit();
  expect(await env.database.query('SELECT count(*)::int AS n FROM users')).toEqual([{ n: 3 }]);
  await own.close();
});

test('SA-145: loading a relation flushes first', async () => {
  session.add(User.named('ed', Address.of('a')));
  await session.commit();
  await session.close();
  const user = (await session.find(User))[0]!;
  const late = Address.of('b');
  (late as { userId: number }).userId = user.id;
  session.add(late);
  await session.load(user, { relations: ['addresses'] });
  expect(user.addresses.map(({ email }) => email).sort()).toEqual(['a', 'b']);
});

test('SA-147 (as designed): SQL text flushes first, too', async () => {
  session.add(User.named('ed'));
  expect(await session.sql`SELECT name FROM users`).toEqual([{ name: 'ed' }]);
});

test('the flush before a query is told as such when it fails', async () => {
  session.addAll([Object.assign(User.named('ed'), { id: 1 }), Object.assign(User.named('jack'), { id: 1 })]);
  const failure = await session.find(User).catch((error: unknown) => error as Error);
  expect((failure as Error).message).toMatch(/autoflush before session\.find\(\)/);
  expect(failure).toMatchObject({ code: 'UOW_UNIQUE_VIOLATION' });
});

test('a query inside a flush’s listener does not flush again', async () => {
  session.add(User.named('ed'));
  let seen = -1;
  session.on('beforeFlush', async () => {
    seen = await session.count(User);
  });
  await session.commit();
  expect(seen).toBe(0);
});

test('get of an object that the session has flushes nothing', async () => {
  const user = User.named('ed');
  session.add(user);
  await session.flush();
  env.sent();
  session.add(User.named('jack'));
  await session.get(User, user.id);
  expect(env.sent()).toEqual([]);
});

test('SA-146: reading an expired foreign key again flushes first, and gives the new one', async () => {
  const [ed, jack] = [User.named('ed'), User.named('jack')];
  const address = Address.of('a', ed);
  session.addAll([ed, jack, address]);
  await session.flush();
  address.user = jack;
  session.expire(address, ['userId']);
  await session.get(Address, address.id);
  expect(address.userId).toBe(jack.id);
  expect(address.user).toBe(jack);
});

test('SA-149: a deletion whose cascade has to be read first is never flushed in part', async () => {
  const ed = User.named('ed');
  const orders = ['one', 'two'].map((description) => Object.assign(new Order(), { description, user: ed }));
  session.addAll([ed, ...orders]);
  await session.commit();
  session.expungeAll();
  session.delete(await session.getOrFail(User, ed.id));
  env.sent();
  expect(await session.find(Order)).toEqual([]);
  expect(env.statements().map((sql) => /^SELECT t|UPDATE "\w+"|DELETE FROM "\w+"|SELECT "e"/.exec(sql)?.[0])).toEqual([
    'SELECT t',
    'UPDATE "addresses"',
    'DELETE FROM "orders"',
    'DELETE FROM "users"',
    'SELECT "e"',
  ]);
});
