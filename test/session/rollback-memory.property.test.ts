import fc from 'fast-check';
import { ENTITIES } from './model/entities.js';
import { PRELUDE, SessionModel } from './model/session-model.js';
import type { Operation } from './model/session-model.js';
import { SessionUnderTest } from './session-under-test.js';

/**
 * What a rollback gives back: random changes in savepoints to any depth, and a second connection that changes the same
 * rows meanwhile. Objects and arrays that were held from before are compared with the model right after the rollback,
 * before the session is used again; then all is read, and compared with the database.
 *
 * ROLLBACK_MEMORY_RUNS sets how many sequences; ROLLBACK_MEMORY_SEED tries another one.
 */
const RUNS = Number(process.env.ROLLBACK_MEMORY_RUNS ?? 40);
/** One seed for every run of the suite; others are tried by hand, thousands at a time. */
const SEED = Number(process.env.ROLLBACK_MEMORY_SEED ?? 7);

const OPERATIONS: Readonly<Record<Operation, number>> = {
  create: 12,
  createInCollection: 6,
  change: 12,
  point: 8,
  move: 8,
  link: 8,
  delete: 6,
  addAgain: 6,
  flush: 5,
  savepoint: 8,
  release: 2,
  rollbackTo: 6,
  commit: 3,
  rollback: 5,
  expire: 0,
  find: 3,
  get: 2,
  load: 8,
  count: 0,
  rival: 6,
  reopen: 0,
};

let env: SessionUnderTest;

beforeAll(async () => {
  env = await SessionUnderTest.start({ entities: ENTITIES });
});
afterAll(async () => {
  await env.stop();
});

const steps = fc.array(
  fc.tuple(
    fc.oneof(
      ...(Object.entries(OPERATIONS) as [Operation, number][])
        .filter(([, weight]) => weight > 0)
        .map(([operation, weight]) => ({ weight, arbitrary: fc.constant(operation) })),
    ),
    fc.nat(997),
    fc.nat(997),
    fc.nat(997),
  ),
  { minLength: 1, maxLength: 40, size: 'max' },
);

test('a rollback gives memory back, whatever was done and whoever else wrote', async () => {
  const done = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(steps, async (sequence) => {
      await SessionModel.empty(env);
      const model = new SessionModel(env);
      await model.run([...PRELUDE, ...sequence]);
      for (const [operation, times] of model.done) done.set(operation, (done.get(operation) ?? 0) + times);
    }),
    {
      numRuns: RUNS,
      interruptAfterTimeLimit: Number(process.env.ROLLBACK_MEMORY_SECONDS ?? 60) * 1_000,
      markInterruptAsFailure: false,
      seed: SEED,
    },
  );
  expect(done.get('stale') ?? 0).toBeGreaterThan(0);
  // Every operation really took place, so that none is proven by never happening.
  for (const [operation, weight] of Object.entries(OPERATIONS)) {
    if (weight > 0) expect([operation, (done.get(operation) ?? 0) > 0]).toEqual([operation, true]);
  }
}, 180_000);
