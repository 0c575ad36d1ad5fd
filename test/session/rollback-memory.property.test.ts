import { ENTITIES } from './model/entities.js';
import { effortOf, follow, patienceWith } from './model/sequences.js';
import type { Weights } from './model/sequences.js';
import { SessionUnderTest } from './session-under-test.js';

/**
 * What a rollback gives back: random changes in savepoints to any depth, and a second connection that changes the same
 * rows meanwhile. Objects and arrays that were held from before are compared with the model right after the rollback,
 * before the session is used again; then all is read, and compared with the database.
 *
 * ROLLBACK_MEMORY_RUNS sets how many sequences, ROLLBACK_MEMORY_SEED tries others, ROLLBACK_MEMORY_SECONDS gives them
 * time.
 */
const EFFORT = effortOf('ROLLBACK_MEMORY', { runs: 40 });

const OPERATIONS: Weights = {
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

test(
  'a rollback gives memory back, whatever was done and whoever else wrote',
  async () => {
    // Stale: the second connection was in the way of a flush.
    await follow(env, OPERATIONS, EFFORT, ['with rows', 'with rows that were read'], ['stale']);
  },
  patienceWith(EFFORT),
);
