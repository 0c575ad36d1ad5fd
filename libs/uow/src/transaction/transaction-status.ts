import type { TransactionIsolation } from './transaction-definition.js';
import type { TransactionScope } from './transaction-scope.js';

/** What runs now, as `TransactionManager.current()` shows it (Spring's `TransactionStatus`). */
export interface TransactionStatus {
  /** The method or label of the scope. */
  readonly label: string;
  /** Name of the data source. */
  readonly dataSource: string;
  /** True where a transaction is open; false in SUPPORTS, NOT_SUPPORTED and NEVER scopes without one. */
  readonly isTransactional: boolean;
  /** True where this scope began the transaction. */
  readonly isNewTransaction: boolean;
  /** True where this scope is a savepoint. */
  readonly hasSavepoint: boolean;
  /** True when the scope, or the owner that it joined, can only roll back. */
  readonly isRollbackOnly: boolean;
  /** True once the transaction has ended. */
  readonly isCompleted: boolean;
  readonly readOnly: boolean;
  readonly isolation: TransactionIsolation | undefined;
  /** 1 in the first run of the root method, 2 in its first retry, … */
  readonly attempt: number;
  /** Milliseconds until the deadline; `Infinity` without one. */
  readonly timeLeft: number;
}

/** Takes the picture of a scope. */
export function statusOf(scope: TransactionScope): TransactionStatus {
  const { transaction, ownerScope } = scope;
  return {
    label: scope.label,
    dataSource: scope.context.database.name,
    isTransactional: transaction !== null,
    isNewTransaction: scope.kind === 'root',
    hasSavepoint: scope.kind === 'savepoint',
    isRollbackOnly:
      transaction !== null &&
      (ownerScope?.mark != null || ownerScope?.rolledBackInside === true || transaction.failure !== null),
    isCompleted: transaction !== null && !transaction.isActive,
    readOnly: scope.readOnly || transaction?.readOnly === true,
    isolation: transaction?.definition.isolation,
    attempt: scope.attempt,
    timeLeft: transaction?.timeLeft ?? Infinity,
  };
}
