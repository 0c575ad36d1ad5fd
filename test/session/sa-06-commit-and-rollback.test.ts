import type { DbSession } from '../../libs/uow/src/session/db-session.js';
import { inspectEntity } from '../../libs/uow/src/session/inspect.js';
import { Address, Foo, SA_ENTITIES, SA_TABLES, User } from './sa-entities.js';
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

const stored = async <T extends object>(object: T): Promise<T> => {
  session.add(object);
  await session.commit();
  env.sent();
  return object;
};

test('SA-150: after the commit values are still there, and the next read brings what others have committed', async () => {
  const user = await stored(User.named('ed'));
  await env.database.query(`UPDATE users SET name = 'changed'`);
  expect(user.name).toBe('ed');
  expect(await session.get(User, user.id)).toBe(user);
  expect(user.name).toBe('changed');
});

test('SA-151: with expireOnCommit: false values are trusted until expireAll', async () => {
  const own = env.factory.open({ expireOnCommit: false });
  const user = User.named('ed');
  own.add(user);
  await own.commit();
  await env.database.query(`UPDATE users SET name = 'changed'`);
  expect((await own.get(User, user.id))!.name).toBe('ed');
  own.expireAll();
  expect((await own.get(User, user.id))!.name).toBe('changed');
  await own.close();
});

test('SA-152: an unflushed change is gone after the rollback', async () => {
  const user = await stored(User.named('ed'));
  user.name = 'jack';
  await session.rollback();
  expect(user.name).toBe('ed');
  expect(session.dirty).toEqual([]);
});

test('a flushed change is gone after the rollback, in memory at once, version included', async () => {
  const foo = await stored(Object.assign(new Foo(), { value: 'a' }));
  foo.value = 'b';
  await session.flush();
  expect(foo.version).toBe(2);
  await session.rollback();
  expect(foo).toMatchObject({ value: 'a', version: 1 });
  foo.value = 'c';
  await session.commit();
  expect(await env.database.query('SELECT value, version FROM foo')).toEqual([{ value: 'c', version: 2 }]);
});

test('SA-153: a rollback expires everything, whatever expireOnCommit says', async () => {
  const own = env.factory.open({ expireOnCommit: false });
  const user = User.named('ed');
  own.add(user);
  await own.commit();
  await env.database.query(`UPDATE users SET name = 'changed'`);
  await own.execute('SELECT 1');
  await own.rollback();
  expect((await own.get(User, user.id))!.name).toBe('changed');
  await own.close();
});

test('SA-154: an appended child leaves the collection at the rollback, which is the same array, and keeps its values', async () => {
  const user = await stored(User.named('ed', Address.of('a')));
  const { addresses } = user;
  const [first] = addresses;
  const late = Address.of('b');
  addresses.push(late);
  await session.flush();
  expect(late.userId).toBe(user.id);
  await session.rollback();
  expect(user.addresses).toBe(addresses);
  expect(addresses).toEqual([first]);
  expect(inspectEntity(late).state).toBe('transient');
  expect(late.email).toBe('b');
  expect(late.id).toBeUndefined();
  expect(late.userId).toBeUndefined();
});

test('a rollback leaves a new object what was set on it last, even where an earlier flush had put the same there', async () => {
  const user = await stored(User.named('ed', Address.of('a')));
  const late = Address.of('b');
  user.addresses.push(late);
  await session.flush();
  expect(late.user).toBe(user);
  user.addresses.pop();
  await session.flush();
  expect(late.user).toBeNull();
  late.user = user;
  await session.rollback();
  expect(late.user).toBe(user);
});

test('SA-156 (as designed): memory is restored before afterRollback listeners run', async () => {
  const user = await stored(User.named('ed'));
  let seen = '';
  session.on('afterRollback', () => {
    seen = user.name;
  });
  user.name = 'jack';
  await session.flush();
  await session.rollback();
  expect(seen).toBe('ed');
});

test('afterCommit listeners are told the net changes, with old and new values', async () => {
  const [ed, jack] = [await stored(User.named('ed')), await stored(User.named('jack'))];
  const all: unknown[] = [];
  session.on('afterCommit', ({ changes }) => {
    all.push(changes);
  });
  const wendy = User.named('wendy');
  const passing = User.named('passing');
  session.addAll([wendy, passing]);
  ed.name = 'edward';
  await session.flush();
  ed.name = 'eddie';
  session.deleteAll([jack, passing]);
  await session.commit();
  expect(all).toEqual([
    {
      inserted: [{ entity: wendy, oldValues: {}, newValues: { id: wendy.id, name: 'wendy' } }],
      updated: [{ entity: ed, oldValues: { name: 'ed' }, newValues: { name: 'eddie' } }],
      deleted: [{ entity: jack, oldValues: { id: jack.id, name: 'jack' }, newValues: {} }],
    },
  ]);
});

test('SA-160: get finds the row gone: it gives null and the object leaves; the rollback puts it back', async () => {
  const user = await stored(User.named('ed'));
  await session.execute('DELETE FROM users');
  expect(await session.get(User, user.id)).toBeNull();
  expect(session.has(user)).toBe(false);
  await session.rollback();
  expect(session.has(user)).toBe(true);
  expect(await session.get(User, user.id)).toBe(user);
});

test('SA-162: what one session has not committed another does not see', async () => {
  const other = env.factory.open();
  session.add(User.named('ed'));
  await session.flush();
  expect(await other.count(User)).toBe(0);
  await session.commit();
  expect(await other.count(User)).toBe(1);
  await other.close();
});

test('values read before a declared scope are read again at the first get inside it', async () => {
  await stored(User.named('ed'));
  await session.close();
  await env.manager.runInContext('a request', async () => {
    const user = (await env.session.find(User))[0]!;
    await env.database.query(`UPDATE users SET name = 'changed'`);
    env.sent();
    expect((await env.session.get(User, user.id))!.name).toBe('ed');
    expect(env.sent()).toEqual([]);
    await env.manager.run(async () => {
      expect((await env.session.get(User, user.id))!.name).toBe('changed');
      env.sent();
      await env.session.get(User, user.id);
      expect(env.sent()).toEqual([]);
    });
  });
});

test('an object deleted and flushed is persistent again after the rollback, in its collections and by its key', async () => {
  const user = await stored(User.named('ed', Address.of('a'), Address.of('b')));
  const [a, b] = user.addresses;
  session.delete(a!);
  await session.flush();
  await session.rollback();
  expect(await session.get(Address, a!.id)).toBe(a);
  expect(user.addresses).toEqual([a, b]);
});
