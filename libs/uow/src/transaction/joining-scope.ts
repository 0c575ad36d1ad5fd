import type { Frame } from './ambient.js';
import { currentFrame, frameIn } from './ambient.js';
import type { UnitOwner } from './ambient-unit.js';
import { runCompleting } from './completion.js';
import type { PhysicalTransaction } from './physical-transaction.js';
import type { Place } from './place.js';
import { begunByItself } from './root-scope.js';
import { runBody } from './scope-body.js';
import type { BodyEnd } from './scope-body.js';
import {
  abortedWith,
  isRolledBackBy,
  unawaited,
  verdictOn,
  warnUnawaited,
  withRollbackError,
} from './scope-verdict.js';
import type { TransactionContext } from './transaction-context.js';
import { checkDemands } from './transaction-definition.js';
import type { TransactionDefinition } from './transaction-definition.js';
import { TransactionScope } from './transaction-scope.js';

/** Scopes that find a transaction open: those that join it as they are, and NESTED ones with a savepoint of their own. */

/** What a scope finds around it. */
export interface Around {
  readonly owner: UnitOwner;
  readonly context: TransactionContext;
  readonly transaction: PhysicalTransaction;
  /** The declared scope around it, if any. */
  readonly scope: TransactionScope | null;
  readonly frame: Frame;
}

/**
 * Runs a scope that joins: it fails or succeeds with the whole.
 * @param counting the scope that counts it as in flight
 */
export async function runJoined<T>(
  around: Around,
  definition: TransactionDefinition,
  fn: () => T | Promise<T>,
  place: Place,
  counting: TransactionScope | null,
): Promise<T> {
  const { transaction, context, frame } = around;
  counting?.enter(place);
  try {
    demand(definition, around);
    const scope = newScope('joined', around, definition, frame.level ?? transaction.levelHere());
    const unlimit = transaction.limitFor(definition);
    let end: BodyEnd<T>;
    try {
      end = await runBody(scope, transaction, fn);
    } finally {
      unlimit?.();
      scope.close();
    }
    const { result, stray } = end;
    if (result.threw && isRolledBackBy(scope, result.error)) {
      mark(scope, transaction, result.error);
      throw result.error;
    }
    if (stray.length > 0) {
      const error = unawaited(scope, stray);
      if (context.database.options.unawaited === 'warn') warnUnawaited(context.database, error);
      else {
        mark(scope, transaction, error);
        throw result.threw ? result.error : error;
      }
    }
    if (result.threw) throw result.error;
    return result.value;
  } finally {
    counting?.leave(place);
  }
}

/** Marks what the scope joined: the savepoint or the transaction of its owner, or what was opened by hand. */
function mark(scope: TransactionScope, transaction: PhysicalTransaction, reason: unknown): void {
  const owner = scope.ownerScope;
  const { savepoint } = transaction;
  if (owner === null || (savepoint?.byHand === true && savepoint !== owner.savepoint)) transaction.noteFailure(reason);
  else owner.mark ??= { by: scope, reason };
}

/** Runs a scope with a savepoint: siblings take turns, and its rollback takes exactly its own writes. */
export async function runNested<T>(
  around: Around,
  definition: TransactionDefinition,
  fn: () => T | Promise<T>,
  place: Place,
): Promise<T> {
  const { transaction, context, frame } = around;
  demand(definition, around);
  const unlimit = transaction.limitFor(definition);
  try {
    const { turns } = transaction;
    const parentLevel = (frame.transaction === transaction ? frame.level : frameIn(transaction)?.level) ?? turns.root;
    const waiting = turns.take(parentLevel, place);
    if (waiting !== undefined) await waiting;
    const level = turns.open(parentLevel, place);
    try {
      const scope = newScope('savepoint', around, definition, level);
      transaction.assertNotFailed();
      await runCompleting(transaction, scope, async () => context.synchronization?.beforeSavepoint?.(transaction));
      scope.savepoint = transaction.pushSavepoint(place, false);
      const end = await runBody(scope, transaction, fn);
      try {
        return await runCompleting(transaction, scope, () => complete(scope, transaction, end));
      } finally {
        scope.close();
      }
    } finally {
      turns.close(level);
    }
  } finally {
    unlimit?.();
  }
}

async function complete<T>(scope: TransactionScope, transaction: PhysicalTransaction, end: BodyEnd<T>): Promise<T> {
  const savepoint = scope.savepoint as NonNullable<TransactionScope['savepoint']>;
  const { result } = end;
  if (transaction.abortReason !== null) throw abortedWith(transaction.abortReason, result);
  let verdict = verdictOn(scope, transaction.failure, end);
  if (verdict === 'commit') {
    try {
      await transaction.releaseSavepoint(savepoint);
    } catch (error) {
      verdict = { error };
    }
  }
  if (verdict !== 'commit') {
    const error = verdict === 'rollBackInSilence' ? null : verdict.error;
    const failed = savepoint.isActive ? await rollBack(transaction, savepoint, error) : undefined;
    if (verdict !== 'rollBackInSilence') throw withRollbackError(error, failed);
  }
  if (result.threw) throw result.error;
  return result.value;
}

async function rollBack(
  transaction: PhysicalTransaction,
  savepoint: NonNullable<TransactionScope['savepoint']>,
  cause: unknown,
): Promise<unknown> {
  try {
    await transaction.rollbackSavepoint(savepoint, cause);
    return undefined;
  } catch (error) {
    return error;
  }
}

function newScope(
  kind: 'joined' | 'savepoint',
  { owner, context, transaction, scope }: Around,
  definition: TransactionDefinition,
  level: TransactionScope['level'],
): TransactionScope {
  const parent = currentFrame() ?? null;
  return new TransactionScope(kind, owner, parent, context, transaction, level, definition, scope, scope?.attempt ?? 1);
}

function demand(definition: TransactionDefinition, { transaction, scope }: Around): void {
  if (transaction.origin === 'autobegin' && definition.propagation !== 'SUPPORTS') {
    throw begunByItself(definition, transaction);
  }
  checkDemands(definition, transaction.definition, transaction.readOnly || scope?.readOnly === true);
}
