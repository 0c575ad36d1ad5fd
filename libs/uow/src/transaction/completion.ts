import { AfterCommitError } from '../errors/transaction-errors.js';
import { AmbientUnit } from './ambient-unit.js';
import { currentFrame, runInFrame } from './ambient.js';
import type { Frame } from './ambient.js';
import type { PhysicalTransaction } from './physical-transaction.js';
import { TransactionHooks } from './transaction-hooks.js';
import type { TransactionScope } from './transaction-scope.js';

/**
 * How a transaction ends, for declared scopes and for transactions by hand alike, in Spring's order:
 * beforeCommit, beforeCompletion, COMMIT, afterCommit, afterCompletion; or beforeCompletion, ROLLBACK,
 * afterRollback, afterCompletion. Hooks before the end run inside the transaction and on its session, those
 * after it with no transaction and a fresh session.
 */

/** Runs `fn` inside the transaction although its scope takes nothing new any more. */
export function runCompleting<T>(transaction: PhysicalTransaction, scope: TransactionScope | null, fn: () => T): T {
  const inside: Frame = {
    parent: scope ?? currentFrame() ?? null,
    owner: transaction.context.owner,
    scope,
    transaction,
    level: scope?.level ?? transaction.levelHere(),
    completing: true,
    contextOf: (database) => (database === transaction.database ? transaction.context : null),
  };
  return runInFrame(inside, fn);
}

/**
 * Commits. Whatever fails before COMMIT is answered rolls back.
 * @returns the error of an `afterCommit` hook, if one threw: the transaction is committed
 * @throws what kept it from being committed
 */
export async function commitTransaction(
  transaction: PhysicalTransaction,
  scope: TransactionScope | null,
): Promise<unknown> {
  const { hooks, context } = transaction;
  let completing = false;
  try {
    await runCompleting(transaction, scope, async () => {
      if (hooks.beforeCommit.length > 0) {
        await TransactionHooks.runStrictly(hooks.beforeCommit);
      }
      if (hooks.beforeCompletion.length > 0) {
        await context.synchronization?.beforeCommit?.(transaction);
        completing = true;
        await TransactionHooks.runReporting(hooks.beforeCompletion, 'beforeCompletion', context.database.report);
      }
      const payload = (await context.synchronization?.prepareCommit?.(transaction)) ?? null;
      if (context.observer !== null && transaction.begun) {
        await context.observer.beforeCommit?.(transaction);
      }
      if (transaction.abortReason !== null) throw transaction.abortReason;
      transaction.startCommitting();
      await transaction.sendCommit(payload);
    });
  } catch (error) {
    await rollbackTransaction(transaction, scope, error, completing);
    throw transaction.abortReason ?? error;
  }
  return afterCommit(transaction, scope);
}

async function afterCommit(transaction: PhysicalTransaction, scope: TransactionScope | null): Promise<unknown> {
  const { hooks, context } = transaction;
  if (context.observer !== null && transaction.begun) {
    await context.observer.afterCommit?.(transaction);
  }
  if (hooks.afterCommit.length === 0 && hooks.afterCompletion.length === 0) return undefined;
  let failure: { error: unknown } | undefined;
  await runAfterwards(transaction, scope, async () => {
    try {
      await TransactionHooks.runStrictly(hooks.afterCommit);
    } catch (error) {
      failure = { error };
    }
    await TransactionHooks.runReporting(
      hooks.afterCompletion,
      'afterCompletion',
      transaction.database.report,
      'committed',
    );
  });
  return failure === undefined ? undefined : (failure.error ?? new Error(String(failure.error)));
}

/**
 * Rolls back. It never throws: what goes wrong is returned, for the error that is on its way to carry.
 * @param completing true when the beforeCompletion hooks have run already
 */
export async function rollbackTransaction(
  transaction: PhysicalTransaction,
  scope: TransactionScope | null,
  cause: unknown,
  completing = false,
): Promise<unknown> {
  const { hooks, database } = transaction;
  if (!completing && transaction.isActive && hooks.beforeCompletion.length > 0) {
    await runCompleting(transaction, scope, () =>
      TransactionHooks.runReporting(hooks.beforeCompletion, 'beforeCompletion', database.report),
    );
  }
  const { observer } = transaction.context;
  const observed = observer !== null && transaction.begun && transaction.isActive;
  if (observed) await observer.beforeRollback?.(transaction);
  const failed = await transaction.sendRollback(cause);
  if (observed) await observer.afterRollback?.(transaction);
  if (hooks.afterRollback.length > 0 || hooks.afterCompletion.length > 0) {
    const outcome = transaction.outcome ?? 'rolledBack';
    await runAfterwards(transaction, scope, async () => {
      if (outcome === 'rolledBack') {
        await TransactionHooks.runReporting(hooks.afterRollback, 'afterRollback', database.report);
      }
      await TransactionHooks.runReporting(hooks.afterCompletion, 'afterCompletion', database.report, outcome);
    });
  }
  if (failed !== undefined) {
    database.report({
      code: 'UOW_WARN_ROLLBACK_FAILED',
      message: `ROLLBACK of ${transaction.label} was not answered; its connection was destroyed, and the server rolls back by itself.`,
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
  const unit = new AmbientUnit(
    transaction.context.owner,
    scope?.parent ?? null,
    `the hooks after ${transaction.label}`,
  );
  try {
    await unit.run(fn);
  } finally {
    await unit.close();
  }
}

/** The error that tells of a failed `afterCommit` hook, with the result that the caller would have had. */
export function afterCommitError<T>(label: string, error: unknown, result: T): AfterCommitError<T> {
  return new AfterCommitError(
    `${label} is committed, but an afterCommit hook threw: ${error instanceof Error ? error.message : String(error)}. Do not run it again; see to what the hook left undone.`,
    result,
    { cause: error },
  );
}
