import { ENTITIES } from './model/entities.js';
import { effortOf, follow, patienceWith } from './model/sequences.js';
import type { Weights } from './model/sequences.js';
import { SessionUnderTest } from './session-under-test.js';

/**
 * Random sequences of what programs do with a session, over nine related entities, beside a model in plain maps. After
 * each step every object is compared with the model, after each COMMIT the whole database.
 *
 * SESSION_MODEL_RUNS sets how many sequences, SESSION_MODEL_SEED tries others, SESSION_MODEL_SECONDS gives them time.
 */
const EFFORT = effortOf('SESSION_MODEL', { runs: 80 });

const OPERATIONS: Weights = {
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

let env: SessionUnderTest;

beforeAll(async () => {
  env = await SessionUnderTest.start({ entities: ENTITIES });
});
afterAll(async () => {
  await env.stop();
});

test(
  'objects and database follow the model, whatever is done in whatever order',
  async () => {
    await follow(env, OPERATIONS, EFFORT, ['with rows', 'with rows that were read', 'empty']);
  },
  patienceWith(EFFORT),
);
