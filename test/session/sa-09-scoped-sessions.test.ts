import { runAndRollBack } from '../../libs/uow/src/testing/run-and-roll-back.js';
import { CASE_ENTITIES, EMPTY_ALL, User } from './case-entities.js';
import { SessionUnderTest } from './session-under-test.js';

let env: SessionUnderTest;

beforeAll(async () => {
  env = await SessionUnderTest.start({ entities: CASE_ENTITIES });
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  await env.database.query(EMPTY_ALL);
});

test('SA-205: code under test runs its transactions inside one that is rolled back, and no trace is left', async () => {
  await runAndRollBack(env.manager, async () => {
    await env.manager.run(() => {
      env.session.add(new User({ name: 'kept by the code under test' }));
    });
    await expect(
      env.manager.run({ propagation: 'NESTED' }, async () => {
        env.session.add(new User({ name: 'given up' }));
        await env.session.flush();
        throw new Error('of the code under test');
      }),
    ).rejects.toThrow('of the code under test');
    expect((await env.session.find(User)).map((user) => user.name)).toEqual(['kept by the code under test']);
  });
  expect(await env.database.query('SELECT * FROM users')).toEqual([]);
});

test('SA-212: the injected session is the one of the running scope, and forgotten with it', async () => {
  const ids: string[] = [];
  for (let scope = 0; scope < 2; scope++) {
    await env.manager.run(() => {
      ids.push(env.session.id);
      env.session.add(new User({ name: 'x' }));
      expect(env.session.new).toHaveLength(1);
    });
  }
  expect(ids[0]).not.toBe(ids[1]);
  expect(() => env.session.id).toThrow(expect.objectContaining({ code: 'UOW_NO_SESSION' }));
});

test('listeners that hear of the end of a scope find its session in the injected one', async () => {
  const found: unknown[] = [];
  const look = (): void => {
    found.push(env.session.id);
  };
  const stop = (['afterCommit', 'afterRollback'] as const).map((name) => env.factory.on(name, look));
  const ids: unknown[] = [];
  const work = async (): Promise<void> => {
    ids.push(env.session.id);
    env.session.add(new User({ name: 'x' }));
    await env.session.flush();
  };
  await env.manager.run(work);
  await expect(
    env.manager.run(async () => {
      await work();
      throw new Error('rolls back');
    }),
  ).rejects.toThrow('rolls back');
  for (const one of stop) one();
  expect(found).toEqual(ids);
});

test('SA-213: scopes that run at the same time have sessions of their own', async () => {
  const ids = await Promise.all([1, 2, 3].map(async () => env.manager.run(() => env.session.id)));
  expect(new Set(ids).size).toBe(3);
});
