import type { Database } from '../database/database.js';
import {
  TransactionRolledBackError,
  UnawaitedWorkError,
  UnexpectedRollbackError,
} from '../errors/transaction-errors.js';
import type { Place } from './place.js';
import { rollsBack } from './rollback-rules.js';
import type { BodyEnd, Result } from './scope-body.js';
import type { TransactionScope } from './transaction-scope.js';

/** What becomes of a scope whose function has settled: the rules of rollback, marks, failures and stray work. */

/** Roll back, and throw the error; or roll back in silence, as a scope that marked itself wants it. */
export type Verdict = 'commit' | 'rollBackInSilence' | { readonly error: unknown };

/** Decides about an owner: a scope with a transaction or a savepoint of its own. */
export function verdictOn<T>(scope: TransactionScope, failure: unknown, { result, stray }: BodyEnd<T>): Verdict {
  const { mark } = scope;
  if (result.threw && isRolledBackBy(scope, result.error)) return { error: result.error };
  if (stray.length > 0) {
    const error = unawaited(scope, stray);
    if (scope.context.database.options.unawaited === 'error') return { error: result.threw ? result.error : error };
    warnUnawaited(scope.context.database, error);
  }
  if (mark !== null && mark.by !== scope)
    return { error: withApplicationError(markedByAnother(scope, mark, result), result) };
  if (scope.rolledBackInside || mark !== null) return 'rollBackInSilence';
  if (failure !== null) return { error: withApplicationError(swallowed(scope, failure, result), result) };
  return 'commit';
}

/** True where the error, thrown by the scope's function, rolls back. */
export function isRolledBackBy(scope: TransactionScope, error: unknown): boolean {
  return rollsBack(error, scope.definition.rollbackFor, scope.definition.noRollbackFor);
}

function markedByAnother<T>(
  scope: TransactionScope,
  mark: NonNullable<TransactionScope['mark']>,
  result: Result<T>,
): Error {
  const how = result.threw ? 'threw an error that does not roll back (noRollbackFor)' : 'returned normally';
  return new UnexpectedRollbackError(
    `${scope.label} ${how}, but ${mark.by.label}, which had joined it, had marked it rollback-only: ${textOf(
      mark.reason,
    )}. It was rolled back. Let the error through, or give ${mark.by.label} NESTED so that it fails alone.`,
    mark.by.label,
    { cause: mark.reason },
  );
}

function swallowed<T>(scope: TransactionScope, failure: unknown, result: Result<T>): Error {
  const how = result.threw
    ? `threw an error that does not roll back (noRollbackFor), but a statement inside had failed`
    : `returned normally, but a statement inside had failed and its error was swallowed`;
  return new TransactionRolledBackError(
    `${scope.label} ${how}, so PostgreSQL keeps nothing of it: ${textOf(failure)}. Let the error through, or put what may fail into a NESTED scope.`,
    { cause: failure },
  );
}

export function unawaited(scope: TransactionScope, stray: readonly Place[]): UnawaitedWorkError {
  const goesOn = scope.context.database.options.unawaited === 'warn';
  return new UnawaitedWorkError(
    `${scope.label} returned while work that it had started was still in flight: ${stray.map(String).join('; ')}. ` +
      `${goesOn ? 'It goes on, because unawaited is set to warn' : 'It was rolled back'}. Await that work, or run it apart with TransactionManager.detach().`,
  );
}

export function warnUnawaited(database: Database, error: UnawaitedWorkError): void {
  database.report({ code: 'UOW_WARN_UNAWAITED_WORK', message: error.message, error });
}

/** The error that ended a transaction from outside tells, where it can, what its function threw. */
export function abortedWith<T>(reason: Error, result: Result<T>): Error {
  if (result.threw && result.error !== reason && reason.cause === undefined) attach(reason, 'cause', result.error);
  return reason;
}

/** The application's error survives a failing rollback; the other is attached as `rollbackError`. */
export function withRollbackError(error: unknown, failed: unknown): unknown {
  if (failed !== undefined) attach(error, 'rollbackError', failed);
  return error;
}

/** A commit that fails after an error that does not roll back is what is thrown, with `applicationError` attached. */
export function withApplicationError<T>(error: unknown, result: Result<T>): unknown {
  if (result.threw && result.error !== error) attach(error, 'applicationError', result.error);
  return error;
}

function attach(error: unknown, property: string, value: unknown): void {
  if (typeof error !== 'object' || error === null || !Object.isExtensible(error)) return;
  Object.defineProperty(error, property, { value, configurable: true, writable: true, enumerable: false });
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
