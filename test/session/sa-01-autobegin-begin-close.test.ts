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

const names = async (): Promise<string[]> =>
  (await env.database.query<{ name: string }>('SELECT name FROM users ORDER BY id')).map(({ name }) => name);

test('SA-001: a transaction begins with the first execute, ends at commit, close and rollback, and begins again', async () => {
  expect(session.inTransaction).toBe(false);
  for (const end of ['commit', 'rollback', 'close', 'commit'] as const) {
    await session.execute('SELECT 1');
    expect(session.inTransaction).toBe(true);
    await session[end]();
    expect(session.inTransaction).toBe(false);
  }
  expect(env.sent().filter((sql) => sql === 'BEGIN')).toHaveLength(4);
});

test('SA-002: a flush with nothing pending begins nothing and sends nothing', async () => {
  await session.flush();
  expect(session.inTransaction).toBe(false);
  expect(env.sent()).toEqual([]);
  session.add(User.named('ed'));
  await session.flush();
  expect(session.inTransaction).toBe(true);
  await session.commit();
  expect(session.inTransaction).toBe(false);
});

test('SA-003: a flush of a change made outside a transaction begins one that stays open, and a rollback undoes it', async () => {
  session.add(User.named('ed'));
  await session.commit();
  const user = (await session.find(User))[0]!;
  user.name = 'jack';
  expect(session.inTransaction).toBe(false);
  await session.flush();
  expect(session.inTransaction).toBe(true);
  await session.rollback();
  expect(session.inTransaction).toBe(false);
  expect(await names()).toEqual(['ed']);
  expect(user.name).toBe('ed');
});

test('SA-004 (as designed): add, delete and changes take no connection and send nothing by themselves', async () => {
  session.add(User.named('ed'));
  await session.commit();
  env.sent();
  const user = (await session.find(User))[0]!;
  env.sent();
  user.name = 'jack';
  session.delete(user);
  session.add(User.named('new'));
  expect(session.inTransaction).toBe(false);
  expect(env.sent()).toEqual([]);
});

test('SA-006: begin() on a session that has begun is refused, and tells where it began', async () => {
  await session.begin();
  await expect(session.begin()).rejects.toMatchObject({ code: 'UOW_TRANSACTION_ALREADY_BEGUN' });
  await session.rollback();
  await session.execute('SELECT 1');
  await expect(session.begin()).rejects.toThrow(/begun by session\.execute\(\)/);
});

describe('SA-007: with autobegin: false', () => {
  const operations = {
    execute: (own: DbSession) => own.execute('SELECT 1'),
    add: async (own: DbSession) => {
      own.add(User.named('ed'));
      await Promise.resolve();
    },
    'a read': (own: DbSession) => own.find(User),
  };
  for (const [name, operate] of Object.entries(operations)) {
    for (const end of ['commit', 'rollback', 'close'] as const) {
      test(`${name} without begin() is refused, also after ${end}, and works after begin()`, async () => {
        const own = env.factory.open({ autobegin: false });
        await expect(operate(own)).rejects.toThrow(/session\.begin\(\)/);
        await own.begin();
        await operate(own);
        await own[end]();
        await expect(operate(own)).rejects.toMatchObject({ code: 'UOW_TRANSACTION_REQUIRED' });
        await own.close();
      });
    }
  }
});

test('SA-008: a transaction block commits when it returns, rolls back and rethrows when it throws, and leaves the session usable', async () => {
  await session.transaction(() => {
    session.add(User.named('ed'));
  });
  expect(session.getTransaction()).toBeNull();
  const failure = new Error('no');
  await expect(
    session.transaction(() => {
      session.add(User.named('jack'));
      throw failure;
    }),
  ).rejects.toBe(failure);
  expect(session.getTransaction()).toBeNull();
  expect(await names()).toEqual(['ed']);
  await session.transaction(() => {
    session.add(User.named('wendy'));
  });
  expect(await names()).toEqual(['ed', 'wendy']);
});

test('SA-009: a session that is disposed of without commit leaves nothing behind, neither rows nor a connection', async () => {
  {
    await using own = env.factory.open();
    own.add(User.named('ed'));
    await own.flush();
  }
  expect(await names()).toEqual([]);
  expect(env.core.heldConnections).toBe(0);
});

test('SA-010: an error after the inner block has ended leaves its work committed', async () => {
  await expect(
    (async () => {
      await using own = env.factory.open();
      await own.transaction(() => {
        own.add(User.named('ed'));
      });
      throw new Error('later');
    })(),
  ).rejects.toThrow('later');
  expect(await names()).toEqual(['ed']);
});

test('SA-011: the factory’s begin() commits and closes, or rolls back and closes', async () => {
  let inside: User | undefined;
  await env.factory.begin((own) => {
    inside = User.named('ed');
    own.add(inside);
  });
  expect(inspectEntity(inside!).state).toBe('detached');
  await expect(
    env.factory.begin((own) => {
      own.add(User.named('jack'));
      throw new Error('no');
    }),
  ).rejects.toThrow('no');
  expect(await names()).toEqual(['ed']);
  expect(env.core.heldConnections).toBe(0);
});

test('SA-013: work after a flush error inside a block is refused with the database’s own error in the message', async () => {
  await expect(
    session.transaction(async () => {
      session.add(Object.assign(User.named('ed'), { id: 1 }));
      session.add(Object.assign(User.named('jack'), { id: 1 }));
      await session.flush().catch(() => undefined);
      await session.execute('SELECT 1');
    }),
  ).rejects.toThrow(/duplicate key/);
});

test('SA-014: commit without a transaction sends nothing, expires the objects and fires its events', async () => {
  session.add(User.named('ed'));
  await session.commit();
  const user = (await session.find(User))[0]!;
  const events: string[] = [];
  session.on('beforeCommit', () => {
    events.push('beforeCommit');
  });
  session.on('afterCommit', () => {
    events.push('afterCommit');
  });
  env.sent();
  await session.commit();
  expect(env.sent()).toEqual([]);
  expect(events).toEqual(['beforeCommit', 'afterCommit']);
  await session.get(User, user.id);
  expect(env.statements()).toHaveLength(1);
});

test('SA-015: rollback without a transaction is a no-op', async () => {
  await session.rollback();
  await session.rollback();
  expect(env.sent()).toEqual([]);
});

test('SA-016: close takes all objects out, rolls back, gives the connection back, and the session can be used again', async () => {
  session.add(User.named('ed'));
  await session.commit();
  const user = (await session.find(User))[0]!;
  const pending = User.named('jack');
  session.add(pending);
  await session.execute('SELECT 1');
  await session.close();
  expect(inspectEntity(user).state).toBe('detached');
  expect(inspectEntity(pending).state).toBe('transient');
  expect(env.core.heldConnections).toBe(0);
  expect(await names()).toEqual(['ed']);
  expect((await session.find(User))[0]).not.toBe(user);
});

test('SA-017: a BEGIN that fails surfaces, and its connection is given up at once', async () => {
  const own = env.factory.open();
  await own.begin({ isolation: 'SERIALIZABLE', locals: { transaction_isolation: 'nonsense' } });
  await expect(own.execute('SELECT 1')).rejects.toThrow(/nonsense/);
  await own.rollback();
  expect(env.core.heldConnections).toBe(0);
  await own.close();
});

test('SA-020: a handle that has ended can be neither committed nor rolled back again', async () => {
  for (const end of ['commit', 'rollback'] as const) {
    const transaction = await session.begin();
    await session.execute('SELECT 1');
    await transaction[end]();
    expect(transaction.isActive).toBe(false);
    await expect(transaction.commit()).rejects.toMatchObject({ code: 'UOW_TRANSACTION_CLOSED' });
    await expect(transaction.rollback()).rejects.toMatchObject({ code: 'UOW_TRANSACTION_CLOSED' });
  }
});

test('SA-021: the handles of the transaction and of the innermost savepoint follow what is open', async () => {
  await session.begin();
  expect(session.getNestedTransaction()).toBeNull();
  const outer = await session.beginNested();
  expect(session.inNestedTransaction).toBe(true);
  const inner = await session.beginNested();
  await inner.rollback();
  expect(session.inNestedTransaction).toBe(true);
  expect(session.getNestedTransaction()!.isActive).toBe(true);
  await outer.commit();
  expect(session.inNestedTransaction).toBe(false);
  expect(session.getTransaction()!.isActive).toBe(true);
});

test('SA-022: committing through the handle leaves no transaction, and the next operation begins a new one', async () => {
  await session.execute('SELECT 1');
  await session.getTransaction()!.commit();
  expect(session.inTransaction).toBe(false);
  await session.execute('SELECT 1');
  expect(session.inTransaction).toBe(true);
});

test('SA-023: info begins as a copy of the factory’s, merged with the session’s, and leaks neither way', () => {
  env.source.info = { a: 1, b: 1 };
  const one = env.factory.open({ info: { b: 2 } });
  const two = env.factory.open();
  one.info['c'] = 3;
  expect(one.info).toEqual({ a: 1, b: 2, c: 3 });
  expect(two.info).toEqual({ a: 1, b: 1 });
  expect(env.source.info).toEqual({ a: 1, b: 1 });
  env.source.info = {};
});

test('SA-024: closeAll empties every open session', async () => {
  const [one, two] = [env.factory.open(), env.factory.open()];
  const [ed, jack] = [User.named('ed'), User.named('jack')];
  one.add(ed);
  two.add(jack);
  await env.factory.closeAll();
  expect([inspectEntity(ed).state, inspectEntity(jack).state]).toEqual(['transient', 'transient']);
  session = env.factory.open();
});
