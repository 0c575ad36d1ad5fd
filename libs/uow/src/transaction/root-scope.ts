import { TransactionAlreadyBegunError } from '../errors/transaction-errors.js';
import type { Frame } from './ambient.js';
import type { UnitOwner } from './ambient-unit.js';
import { afterCommitError, commitTransaction, rollbackTransaction } from './completion.js';
import { PhysicalTransaction } from './physical-transaction.js';
import type { Place } from './place.js';
import { mayRetry, pauseBefore, pausing } from './retry-policy.js';
import type { RetryOptions } from './retry-policy.js';
import { runBody } from './scope-body.js';
import type { BodyEnd } from './scope-body.js';
import { abortedWith, verdictOn, withApplicationError, withRollbackError } from './scope-verdict.js';
import type { Verdict } from './scope-verdict.js';
import type { TransactionContext } from './transaction-context.js';
import type { TransactionDefinition } from './transaction-definition.js';
import { TransactionScope } from './transaction-scope.js';

/** A scope that begins a transaction: attempts, each with a transaction of its own, until one counts. */
export function runRoot<T>(
  owner: UnitOwner,
  context: TransactionContext,
  outer: TransactionScope | null,
  parent: Frame | null,
  definition: TransactionDefinition,
  fn: () => T | Promise<T>,
  place: Place,
): Promise<T> {
  const { retry, timeout } = definition;
  const expiresAt = timeout === undefined ? Infinity : performance.now() + timeout;
  const attempt = (number: number): Promise<T> =>
    runAttempt(owner, context, outer, parent, definition, fn, place, number, expiresAt);
  return retry === undefined ? attempt(1) : retrying(retry, definition.signal, expiresAt, attempt);
}

async function retrying<T>(
  retry: RetryOptions,
  signal: AbortSignal | undefined,
  expiresAt: number,
  run: (attempt: number) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await run(attempt);
    } catch (error) {
      if (!mayRetry(retry, attempt, error)) throw error;
      const pause = pauseBefore(retry, attempt + 1);
      if (performance.now() + pause >= expiresAt || !(await pausing(pause, signal))) throw error;
    }
  }
}

async function runAttempt<T>(
  owner: UnitOwner,
  context: TransactionContext,
  outer: TransactionScope | null,
  parent: Frame | null,
  definition: TransactionDefinition,
  fn: () => T | Promise<T>,
  place: Place,
  attempt: number,
  expiresAt: number,
): Promise<T> {
  // Made before its turn among the context's root scopes comes: waiting for that counts too.
  const transaction = new PhysicalTransaction(context, definition, 'declared', place, expiresAt);
  try {
    const waiting = context.enterRoot(place, transaction.abortSignal);
    if (waiting !== undefined) await waiting;
  } catch (error) {
    transaction.abandon();
    throw error;
  }
  try {
    const already = context.transaction;
    if (already !== null) {
      transaction.abandon();
      throw begunByItself(definition, already);
    }
    context.open(transaction);
    const { root } = transaction.turns;
    const scope = new TransactionScope('root', owner, parent, context, transaction, root, definition, outer, attempt);
    const end = await runBody(scope, transaction, fn);
    try {
      const { result, stray } = end;
      if (!result.threw && stray.length === 0 && scope.mark === null && transaction.endUnused()) return result.value;
      return await complete(scope, transaction, end);
    } finally {
      scope.close();
    }
  } finally {
    context.leaveRoot();
  }
}

/** Thrown to roll back without an error. */
const SILENTLY = Symbol('rolled back in silence');

function complete<T>(scope: TransactionScope, transaction: PhysicalTransaction, end: BodyEnd<T>): Promise<T> {
  const { abortReason } = transaction;
  const verdict =
    abortReason === null ? verdictOn(scope, transaction.failure, end) : { error: abortedWith(abortReason, end.result) };
  return verdict === 'commit' ? commit(scope, transaction, end) : rollBack(scope, transaction, end, verdict);
}

async function rollBack<T>(
  scope: TransactionScope,
  transaction: PhysicalTransaction,
  { result }: BodyEnd<T>,
  verdict: Exclude<Verdict, 'commit'>,
): Promise<T> {
  const error = verdict === 'rollBackInSilence' ? null : verdict.error;
  const failed = await rollbackTransaction(transaction, scope, error);
  if (verdict !== 'rollBackInSilence') throw withRollbackError(error, failed);
  if (result.threw) throw result.error;
  return result.value;
}

async function commit<T>(scope: TransactionScope, transaction: PhysicalTransaction, end: BodyEnd<T>): Promise<T> {
  const { result } = end;
  // What hooks did before COMMIT counts as if the function had done it.
  const objection = (): void => {
    const verdict = verdictOn(scope, transaction.failure, { result, stray: [] });
    if (verdict === 'commit') return;
    throw verdict === 'rollBackInSilence' ? SILENTLY : verdict.error;
  };
  let failedAfterwards: unknown;
  try {
    failedAfterwards = await commitTransaction(transaction, scope, objection);
  } catch (error) {
    if (error !== SILENTLY) throw withApplicationError(error, result);
  }
  if (result.threw) {
    if (failedAfterwards !== undefined) {
      const error = afterCommitError(scope.label, failedAfterwards, undefined);
      transaction.database.report({ code: 'UOW_WARN_HOOK_FAILED', message: error.message, error });
    }
    throw result.error;
  }
  if (failedAfterwards !== undefined) throw afterCommitError(scope.label, failedAfterwards, result.value);
  return result.value;
}

/** The error for a declared scope that meets a transaction which began by itself. */
export function begunByItself(
  definition: TransactionDefinition,
  open: PhysicalTransaction,
): TransactionAlreadyBegunError {
  return new TransactionAlreadyBegunError(
    `${definition.label} would begin a transaction, but its session has one that began at ${open.place.toString()}. ` +
      `Commit or roll that back first, or move the earlier work into ${definition.label}.`,
  );
}
