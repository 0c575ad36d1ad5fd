import { AfterCommitError } from '../errors/transaction-errors.js';
import { AmbientUnit } from './ambient-unit.js';
import { CompletingFrame, currentFrame, runInFrame } from './ambient.js';
import type { PhysicalTransaction } from './physical-transaction.js';
import type { TransactionScope } from './transaction-scope.js';
import type { CommitPayload } from './transaction-synchronization.js';

/**
 * How a transaction ends, for declared scopes and for transactions by hand alike, in Spring's order:
 * beforeCommit, beforeCompletion, COMMIT, afterCommit, afterCompletion; or beforeCompletion, ROLLBACK,
 * afterRollback, afterCompletion. Hooks before the end run inside the transaction and on its session, those
 * after it with no transaction and a fresh session.
 */

/** Runs `fn` inside the transaction although its scope takes nothing new any more. */
export function runCompleting<T>(transaction: PhysicalTransaction, scope: TransactionScope | null, fn: () => T): T {
  const parent = scope ?? currentFrame() ?? null;
  const level = scope?.level ?? transaction.levelHere();
  return runInFrame(new CompletingFrame(parent, transaction.context.owner, scope, transaction, level), fn);
}

/**
 * Commits. Whatever fails before COMMIT is answered rolls back.
 * @param objection asked when the hooks before COMMIT have run: throws where there must be no COMMIT after all
 * @returns the error of what failed after COMMIT (an `afterCommit` hook, say): the transaction is committed
 * @throws what kept it from being committed
 */
export async function commitTransaction(
  transaction: PhysicalTransaction,
  scope: TransactionScope | null,
  objection?: () => void,
): Promise<unknown> {
  const { context } = transaction;
  let completing = false;
  let failed: unknown;
  let payload: CommitPayload | null = null;
  const tellBefore = async (): Promise<void> => {
    if (transaction.hasHooks('beforeCommit')) await transaction.hooks.runStrictly('beforeCommit');
    if (!transaction.hasHooks('beforeCompletion')) return;
    await context.synchronization?.beforeCommit?.(transaction);
    completing = true;
    await transaction.hooks.runReporting('beforeCompletion', context.database.report);
  };
  const send = (prepared: CommitPayload | null): unknown => {
    payload = prepared;
    objection?.();
    return transaction.sendCommit(prepared);
  };
  const prepareAndSend = (): unknown => {
    const prepared = context.synchronization?.prepareCommit?.(transaction) ?? null;
    return prepared instanceof Promise ? prepared.then(send) : send(prepared);
  };
  try {
    // Most have nobody to tell, and all up to COMMIT is done in one step.
    failed = await runCompleting(transaction, scope, () =>
      transaction.hasHooks('beforeCommit') || transaction.hasHooks('beforeCompletion')
        ? tellBefore().then(prepareAndSend)
        : prepareAndSend(),
    );
  } catch (error) {
    await rollbackTransaction(transaction, scope, error, completing);
    await (payload as CommitPayload | null)?.failed?.(error);
    throw transaction.abortReason ?? error;
  }
  const isHeard = context.observer !== null && transaction.begun;
  if (!isHeard && !hasHooksAfter(transaction, 'afterCommit')) return failed;
  return runAround(scope, () => afterCommit(transaction, scope, failed));
}

/** Calls `fn` in the frame around the scope: whoever is told there finds the session of its unit. */
function runAround<T>(scope: TransactionScope | null, fn: () => T): T {
  return scope === null ? fn() : runInFrame(scope.parent ?? undefined, fn);
}

function hasHooksAfter(transaction: PhysicalTransaction, name: 'afterCommit' | 'afterRollback'): boolean {
  return transaction.hasHooks(name) || transaction.hasHooks('afterCompletion');
}

async function afterCommit(
  transaction: PhysicalTransaction,
  scope: TransactionScope | null,
  failed: unknown,
): Promise<unknown> {
  const { context } = transaction;
  let first = failed;
  const keep = async (fn: () => Promise<void> | void): Promise<void> => {
    try {
      await fn();
    } catch (error) {
      first ??= error ?? new Error(String(error));
    }
  };
  if (context.observer !== null && transaction.begun) {
    await keep(() => context.observer?.afterCommit?.(transaction));
  }
  if (hasHooksAfter(transaction, 'afterCommit')) {
    const { hooks } = transaction;
    await runAfterwards(transaction, scope, async () => {
      await keep(() => hooks.runStrictly('afterCommit'));
      await hooks.runReporting('afterCompletion', transaction.database.report, 'committed');
    });
  }
  return first;
}

/**
 * Rolls back. It never throws: what goes wrong is returned, for the error that is on its way to carry.
 * @param completing true when the beforeCompletion hooks have run already
 */
export function rollbackTransaction(
  transaction: PhysicalTransaction,
  scope: TransactionScope | null,
  cause: unknown,
  completing = false,
): Promise<unknown> {
  return runAround(scope, () => rollBack(transaction, scope, cause, completing));
}

async function rollBack(
  transaction: PhysicalTransaction,
  scope: TransactionScope | null,
  cause: unknown,
  completing: boolean,
): Promise<unknown> {
  const { database, isActive } = transaction;
  if (!completing && isActive && transaction.hasHooks('beforeCompletion')) {
    await runCompleting(transaction, scope, () => transaction.hooks.runReporting('beforeCompletion', database.report));
  }
  const observer = transaction.begun && isActive ? transaction.context.observer : null;
  const tell = async (fn: () => Promise<void> | void): Promise<void> => {
    try {
      await fn();
    } catch (error) {
      database.report({
        code: 'UOW_WARN_HOOK_FAILED',
        message: `A transaction subscriber threw at the ROLLBACK of ${transaction.label}: ${error instanceof Error ? error.message : String(error)}`,
        error,
      });
    }
  };
  if (observer !== null) await tell(() => observer.beforeRollback?.(transaction));
  const failed = await transaction.sendRollback(cause);
  if (observer !== null) await tell(() => observer.afterRollback?.(transaction));
  if (hasHooksAfter(transaction, 'afterRollback')) {
    const { hooks } = transaction;
    const outcome = transaction.outcome ?? 'rolledBack';
    await runAfterwards(transaction, scope, async () => {
      if (outcome === 'rolledBack') await hooks.runReporting('afterRollback', database.report);
      await hooks.runReporting('afterCompletion', database.report, outcome);
    });
  }
  if (failed !== undefined) {
    database.report({
      code: 'UOW_WARN_ROLLBACK_FAILED',
      message: `The rollback of ${transaction.label} did not go through: ${failed instanceof Error ? failed.message : 'unknown'}. Its connection was destroyed, and the server rolls back by itself.`,
      error: failed,
    });
  }
  return failed;
}

async function runAfterwards(
  transaction: PhysicalTransaction,
  scope: TransactionScope | null,
  fn: () => Promise<void>,
): Promise<void> {
  const { context } = transaction;
  // A suspended transaction around it still holds its connection and its locks.
  const unit = new AmbientUnit(
    context.owner,
    scope?.parent ?? null,
    `the hooks after ${transaction.label}`,
    context.outer,
  );
  try {
    await unit.run(fn);
  } finally {
    // A hook may have started transactions that it does not wait for (an event bus does).
    await unit.settled();
    await unit.close();
  }
}

/** The error that tells of what failed after COMMIT, with the result that the caller would have had. */
export function afterCommitError<T>(label: string, error: unknown, result: T): AfterCommitError<T> {
  return new AfterCommitError(
    `${label} is committed, but what came after it failed (an afterCommit hook, as a rule): ${error instanceof Error ? error.message : String(error)}. Do not run it again; see to what was left undone.`,
    result,
    { cause: error },
  );
}
