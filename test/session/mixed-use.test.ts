import type { Repository } from 'typeorm';
import { DataSourceConnections } from '../../libs/uow/src/typeorm/data-source-connections.js';
import { JoinedDataSource } from '../../libs/uow/src/typeorm/joining/joined-data-source.js';
import { CASE_ENTITIES, EMPTY_ALL, Foo, User } from './case-entities.js';
import { SessionUnderTest } from './session-under-test.js';

/** Repositories and the session in one transaction, on the same rows. */
let env: SessionUnderTest;
let joined: JoinedDataSource;
let users: Repository<User>;

beforeAll(async () => {
  env = await SessionUnderTest.start({ entities: CASE_ENTITIES });
  joined = new JoinedDataSource(
    env.dataSource,
    env.core,
    new DataSourceConnections(env.dataSource),
    (options, work) => env.manager.run(options, work),
    env.core.report,
  );
  joined.install(
    () => Promise.resolve(),
    () => undefined,
  );
  users = env.dataSource.getRepository(User);
});
afterAll(async () => {
  joined.undo();
  await env.stop();
});
beforeEach(async () => {
  await env.database.query(EMPTY_ALL);
  await env.database.query(`INSERT INTO users (name, age) VALUES ('ed', 30), ('fred', 40)`);
  await env.database.query(`INSERT INTO foos (version, value) VALUES (1, 'a')`);
  env.sent();
});

test('a save by a repository is seen by the next get of the session’s object', async () => {
  await env.manager.run(async () => {
    const { session } = env;
    const [ed, fred] = await session.getManyOrFail(User, [1, 2]);
    await users.save({ id: 1, name: 'saved' });
    env.sent();
    expect(await session.get(User, 1)).toBe(ed);
    expect(ed.name).toBe('saved');
    expect(await session.get(User, 2)).toBe(fred);
    // Only the saved one was read again.
    expect(env.statements()).toHaveLength(1);
  });
});

test('a row removed by a repository is gone for the session', async () => {
  await env.manager.run(async () => {
    const { session } = env;
    const ed = await session.getOrFail(User, 1);
    await users.remove(await users.findOneByOrFail({ id: 1 }));
    expect(await session.get(User, 1)).toBeNull();
    expect(session.has(ed)).toBe(false);
  });
});

test('an update by criteria has the session read its objects of the entity again', async () => {
  await env.manager.run(async () => {
    const { session } = env;
    const loaded = await session.getManyOrFail(User, [1, 2]);
    await users.update({ age: 40 }, { name: 'updated' });
    await session.getMany(User, [1, 2]);
    expect(loaded.map((user) => user.name)).toEqual(['ed', 'updated']);
  });
});

test('a repository reads what the session has changed, because that is flushed first', async () => {
  await env.manager.run(async () => {
    const { session } = env;
    (await session.getOrFail(User, 1)).name = 'changed';
    expect(await users.findOneByOrFail({ id: 1 })).toMatchObject({ name: 'changed' });
  });
});

test('what a repository reads is an instance of its own, and not tracked', async () => {
  await env.manager.run(async () => {
    const { session } = env;
    const ed = await session.getOrFail(User, 1);
    const read = await users.findOneByOrFail({ id: 1 });
    expect(read).not.toBe(ed);
    read.name = 'nobody sees this';
    expect(session.inspect(read).state).toBe('transient');
  });
  expect(await env.database.query('SELECT name FROM users WHERE id = 1')).toEqual([{ name: 'ed' }]);
});

test('a versioned row that a repository saved is not overwritten by the session unseen', async () => {
  await expect(
    env.manager.run(async () => {
      const { session } = env;
      const foo = await session.getOrFail(Foo, 1);
      await env.dataSource.getRepository(Foo).save({ id: 1, value: 'saved' });
      foo.value = 'unseen';
    }),
  ).rejects.toMatchObject({ code: 'UOW_STALE_DATA' });
  expect(await env.database.query('SELECT version, value FROM foos')).toEqual([{ version: 1, value: 'a' }]);
});

test('after a rollback the session’s objects have the values from before the repository’s save', async () => {
  let kept: User | undefined;
  await expect(
    env.manager.run(async () => {
      kept = await env.session.getOrFail(User, 1);
      await users.save({ id: 1, name: 'saved' });
      await env.session.get(User, 1);
      expect(kept.name).toBe('saved');
      throw new Error('given up');
    }),
  ).rejects.toThrow('given up');
  expect(kept!.name).toBe('ed');
});

test('raw SQL is not understood: expireAll has the objects read again', async () => {
  await env.manager.run(async () => {
    const { session } = env;
    const ed = await session.getOrFail(User, 1);
    await session.sql`UPDATE users SET name = ${'raw'} WHERE id = 1`;
    await session.get(User, 1);
    expect(ed.name).toBe('ed');
    session.expireAll();
    await session.get(User, 1);
    expect(ed.name).toBe('raw');
  });
});
