import fc from 'fast-check';
import { ENTITIES } from './model/entities.js';
import { PRELUDE, SessionModel } from './model/session-model.js';
import type { Operation } from './model/session-model.js';
import { SessionUnderTest } from './session-under-test.js';

/**
 * Random sequences of what programs do with a session, over nine related entities, beside a model in plain maps. After
 * each step every object is compared with the model, after each COMMIT the whole database.
 *
 * SESSION_MODEL_RUNS sets how many sequences; SESSION_MODEL_SEED tries another one.
 */
const RUNS = Number(process.env.SESSION_MODEL_RUNS ?? 80);
/** One seed for every run of the suite; others are tried by hand, thousands at a time. */
const SEED = Number(process.env.SESSION_MODEL_SEED ?? 7);

const OPERATIONS: Readonly<Record<Operation, number>> = {
  create: 14,
  createInCollection: 4,
  change: 8,
  point: 6,
  move: 6,
  link: 6,
  delete: 4,
  addAgain: 3,
  flush: 4,
  savepoint: 2,
  release: 2,
  rollbackTo: 1,
  commit: 4,
  rollback: 1,
  expire: 1,
  find: 4,
  get: 3,
  load: 8,
  count: 1,
  rival: 0,
  reopen: 1,
};

const MOST_ROUNDS = 10;

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

test('objects and database follow the model, whatever is done in whatever order', async () => {
  const done = new Map<string, number>();
  const missing = (): Operation[] =>
    (Object.entries(OPERATIONS) as [Operation, number][])
      .filter(([operation, weight]) => weight > 0 && !done.has(operation))
      .map(([operation]) => operation);
  // Every operation has to take place, so that none is proven by never happening: rare ones may need a further round.
  for (let round = 0; round === 0 || (round < MOST_ROUNDS && missing().length > 0); round += 1) {
    await fc.assert(
      fc.asyncProperty(fc.boolean(), steps, async (isEmpty, sequence) => {
        await SessionModel.empty(env);
        const model = new SessionModel(env);
        await model.run(isEmpty ? sequence : [...PRELUDE, ...sequence]);
        for (const [operation, times] of model.done) {
          if (times > 0) done.set(operation, (done.get(operation) ?? 0) + times);
        }
      }),
      {
        numRuns: RUNS,
        interruptAfterTimeLimit: Number(process.env.SESSION_MODEL_SECONDS ?? 60) * 1_000,
        markInterruptAsFailure: false,
        seed: SEED,
      },
    );
  }
  expect(missing()).toEqual([]);
}, 180_000);
