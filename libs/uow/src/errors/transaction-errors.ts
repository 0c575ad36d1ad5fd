import { UowError } from './uow-error.js';

/** The propagation forbids it: MANDATORY without a transaction, NEVER with one, or a demand that the open transaction does not meet (Spring's `IllegalTransactionStateException`). */
export class IllegalTransactionStateError extends UowError {
  readonly code = 'UOW_ILLEGAL_TRANSACTION_STATE';
}

/** A write, a flush or a lock in a scope that has no transaction (SUPPORTS, NOT_SUPPORTED, NEVER, or `autobegin: false`). */
export class TransactionRequiredError extends UowError {
  readonly code = 'UOW_TRANSACTION_REQUIRED';
}

/** `begin()` on a session whose transaction is open, or a root scope on one that began by itself. */
export class TransactionAlreadyBegunError extends UowError {
  readonly code = 'UOW_TRANSACTION_ALREADY_BEGUN';
}

/** Something used a transaction, a savepoint or a scope after its end. It undid nothing and reached no connection. */
export class TransactionClosedError extends UowError {
  readonly code = 'UOW_TRANSACTION_CLOSED';
}

/** The work returned normally but its transaction was rolled back: a statement inside had failed and its error was swallowed. `cause` is that error. */
export class TransactionRolledBackError extends UowError {
  readonly code: `UOW_${string}` = 'UOW_TRANSACTION_ROLLED_BACK';
}

/** A scope returned normally although another scope had marked it rollback-only (Spring's `UnexpectedRollbackException`); the message says who and why. */
export class UnexpectedRollbackError extends TransactionRolledBackError {
  override readonly code = 'UOW_UNEXPECTED_ROLLBACK';

  constructor(
    message: string,
    /** The label of the scope that marked, such as `AuditService.write`. */
    readonly markedBy: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** COMMIT or ROLLBACK was sent as SQL behind the library's back: what is stored is not what the scope says. The connection is destroyed. */
export class TransactionEndedOutsideError extends UowError {
  readonly code = 'UOW_TRANSACTION_ENDED_OUTSIDE';
}

/** The deadline of the transaction (`timeout`) passed; it is rolled back. */
export class TransactionTimedOutError extends UowError {
  readonly code = 'UOW_TRANSACTION_TIMED_OUT';
}

/** The transaction's `signal` was aborted, or its HTTP client went away under `abortOnDisconnect`; it is rolled back. `cause` is the signal's reason. */
export class TransactionCancelledError extends UowError {
  readonly code = 'UOW_TRANSACTION_CANCELLED';
}

/** A statement of this transaction failed, so PostgreSQL refuses everything until it is rolled back. `cause` is the first failure (SQLAlchemy's `PendingRollbackError`). */
export class PendingRollbackError extends UowError {
  readonly code = 'UOW_PENDING_ROLLBACK';
}

/** The connection was lost while COMMIT was in flight, and what became of it cannot be told for certain. Look before you repeat. */
export class CommitOutcomeUnknownError extends UowError {
  readonly code = 'UOW_COMMIT_OUTCOME_UNKNOWN';
}

/** The transaction is committed; something that ran after it (`afterCommit`) threw `cause`. */
export class AfterCommitError<T = unknown> extends UowError {
  readonly code = 'UOW_AFTER_COMMIT';
  /** Always true: nothing was undone, and repeating the call would do the work twice. */
  readonly committed = true;

  constructor(
    message: string,
    /** What the transactional function returned. */
    readonly result: T,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** A scope returned while work that it had started was still in flight; it is rolled back. The message names the place that started the work. */
export class UnawaitedWorkError extends UowError {
  readonly code = 'UOW_UNAWAITED_WORK';
}

/** Work waits for a nested scope, or for another root scope of the same context, that has sent nothing for `stallAfter` milliseconds. Both places are named. */
export class ScopeStalledError extends UowError {
  readonly code = 'UOW_SCOPE_STALLED';
}

/** An inner transaction waits for a row lock that its own suspended outer transaction holds; neither could ever go on. */
export class SelfDeadlockError extends UowError {
  readonly code = 'UOW_SELF_DEADLOCK';
}

/** Something that writes, locks or flushes was tried in a read-only transaction or scope. */
export class ReadOnlyTransactionError extends UowError {
  readonly code = 'UOW_READ_ONLY_TRANSACTION';
}

/** `@Transactional()` was called on an object that belongs to no running application, outside every context of one. */
export class NoApplicationError extends UowError {
  readonly code = 'UOW_NO_APPLICATION';
}
