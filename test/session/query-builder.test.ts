import type { DbSession } from '../../libs/uow/src/session/db-session.js';
import { inspectEntity } from '../../libs/uow/src/session/inspect.js';
import { Address, SA_ENTITIES, SA_TABLES, User } from './sa-entities.js';
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
  session.addAll([User.named('ed', Address.of('a'), Address.of('b')), User.named('jack')]);
  await session.commit();
  await session.close();
  env.sent();
});
afterEach(async () => {
  await session.close();
});

test('a builder gives the session’s own objects, tracked and not overwritten', async () => {
  await session.begin();
  const ed = await session.findOneOrFail(User, { where: { name: 'ed' } });
  ed.name = 'edward';
  const found = await session.noAutoflush(() =>
    session.createQueryBuilder(User, 'u').where('u.name <> :name', { name: 'x' }).orderBy('u.id').getMany(),
  );
  expect(found[0]).toBe(ed);
  expect(ed.name).toBe('edward');
  expect(inspectEntity(found[1]!).state).toBe('persistent');
  found[1]!.name = 'jackson';
  await session.commit();
  expect(await env.database.query('SELECT name FROM users ORDER BY id')).toEqual([
    { name: 'edward' },
    { name: 'jackson' },
  ]);
});

test('joined relations are loaded, with the session’s own objects on both sides', async () => {
  const b = await session.findOneOrFail(Address, { where: { email: 'b' } });
  const user = (await session
    .createQueryBuilder(User, 'u')
    .leftJoinAndSelect('u.addresses', 'a')
    .where('u.name = :name', { name: 'ed' })
    .orderBy('a.id')
    .getOne())!;
  expect(user.addresses.map(({ email }) => email)).toEqual(['a', 'b']);
  expect(user.addresses[1]).toBe(b);
  user.addresses.push(Address.of('c'));
  await session.commit();
  expect(await env.database.query('SELECT count(*)::int AS n FROM addresses WHERE user_id = 1')).toEqual([{ n: 3 }]);
});

test('a query flushes first, and counts, pages and raw rows see it', async () => {
  session.add(User.named('new'));
  expect(await session.createQueryBuilder(User, 'u').getCount()).toBe(3);
  const [page, count] = await session.createQueryBuilder(User, 'u').orderBy('u.id').take(1).skip(1).getManyAndCount();
  expect([page.map(({ name }) => name), count]).toEqual([['jack'], 3]);
  expect(await session.createQueryBuilder(User, 'u').select('max(u.name)', 'top').getRawOne()).toEqual({ top: 'new' });
  expect(await env.database.query('SELECT count(*)::int AS n FROM users')).toEqual([{ n: 2 }]);
});

test('a writing builder begins a transaction, and loaded objects are read again after it', async () => {
  const ed = await session.findOneOrFail(User, { where: { name: 'ed' } });
  await session
    .createQueryBuilder(User, 'u')
    .update()
    .set({ name: 'changed' })
    .where('id = :id', { id: ed.id })
    .execute();
  expect(session.inTransaction).toBe(true);
  expect(await session.get(User, ed.id)).toBe(ed);
  expect(ed.name).toBe('changed');
  expect(await env.database.query('SELECT name FROM users WHERE id = 1')).toEqual([{ name: 'ed' }]);
  await session.rollback();
  expect((await session.get(User, ed.id))!.name).toBe('ed');
});

test('an error of the database is typed', async () => {
  await expect(session.createQueryBuilder(User, 'u').where('nonsense').getMany()).rejects.toMatchObject({
    code: 'UOW_DATABASE',
    sqlState: '42703',
  });
});
