import { exhaustedPool } from './exhausted-pool.js';
import { failedBegin } from './failed-begin.js';
import { failingJoinedScope } from './failing-joined-scope.js';
import { lostConnection } from './lost-connection.js';
import { plainManager } from './plain-manager.js';
import type { Probe } from './probe.js';
import { savepoint } from './savepoint.js';
import { siblingSavepoints } from './sibling-savepoints.js';
import { siblingTransactions } from './sibling-transactions.js';
import { strayBranch } from './stray-branch.js';
import { swallowedError } from './swallowed-error.js';

export const probes: readonly Probe[] = [
  swallowedError,
  strayBranch,
  failingJoinedScope,
  savepoint,
  siblingSavepoints,
  siblingTransactions,
  exhaustedPool,
  lostConnection,
  failedBegin,
  plainManager,
];
