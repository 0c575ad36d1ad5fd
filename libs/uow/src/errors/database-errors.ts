import { UowError } from './uow-error.js';

/** What PostgreSQL said about a failed statement, as far as it said it. */
export interface DatabaseErrorFields {
  /** Five-character SQLSTATE, such as `23505`. */
  readonly sqlState: string;
  readonly severity?: string | undefined;
  readonly detail?: string | undefined;
  readonly hint?: string | undefined;
  readonly schema?: string | undefined;
  readonly table?: string | undefined;
  readonly column?: string | undefined;
  readonly constraint?: string | undefined;
}

/**
 * A statement that a session sent failed on the server. `cause` is the error of the driver (wrapped in
 * TypeORM's `QueryFailedError`). Subclasses name the cases that programs react to.
 */
export class DatabaseError extends UowError implements DatabaseErrorFields {
  readonly code: `UOW_${string}` = 'UOW_DATABASE';
  readonly sqlState: string;
  readonly severity: string | undefined;
  readonly detail: string | undefined;
  readonly hint: string | undefined;
  readonly schema: string | undefined;
  readonly table: string | undefined;
  readonly column: string | undefined;
  readonly constraint: string | undefined;
  /** True when the same work, begun again, may succeed (serialization failure, deadlock). */
  readonly retryable: boolean = false;

  constructor(message: string, fields: DatabaseErrorFields, options?: ErrorOptions) {
    super(message, options);
    this.sqlState = fields.sqlState;
    this.severity = fields.severity;
    this.detail = fields.detail;
    this.hint = fields.hint;
    this.schema = fields.schema;
    this.table = fields.table;
    this.column = fields.column;
    this.constraint = fields.constraint;
  }
}

/** A unique or primary key already has this value (SQLSTATE 23505). */
export class UniqueViolationError extends DatabaseError {
  override readonly code = 'UOW_UNIQUE_VIOLATION';
}

/** A referenced row is missing, or a row is still referenced (SQLSTATE 23503). */
export class ForeignKeyViolationError extends DatabaseError {
  override readonly code = 'UOW_FOREIGN_KEY_VIOLATION';
}

/** A column that must have a value got NULL (SQLSTATE 23502). */
export class NotNullViolationError extends DatabaseError {
  override readonly code = 'UOW_NOT_NULL_VIOLATION';
}

/** A CHECK constraint refused the row (SQLSTATE 23514). */
export class CheckViolationError extends DatabaseError {
  override readonly code = 'UOW_CHECK_VIOLATION';
}

/** An exclusion constraint refused the row (SQLSTATE 23P01). */
export class ExclusionViolationError extends DatabaseError {
  override readonly code = 'UOW_EXCLUSION_VIOLATION';
}

/** A concurrent transaction made this one impossible to serialize (SQLSTATE 40001). Run it again. */
export class SerializationFailureError extends DatabaseError {
  override readonly code = 'UOW_SERIALIZATION_FAILURE';
  override readonly retryable = true;
}

/** PostgreSQL broke a deadlock by ending this transaction (SQLSTATE 40P01). Run it again. */
export class DeadlockError extends DatabaseError {
  override readonly code = 'UOW_DEADLOCK';
  override readonly retryable = true;
}

/** A lock asked for with `nowait`, or under `lock_timeout`, is held by another (SQLSTATE 55P03). */
export class LockNotAvailableError extends DatabaseError {
  override readonly code = 'UOW_LOCK_NOT_AVAILABLE';
}

/** The connection to the server ended while a transaction used it. What was not committed is rolled back by the server. */
export class ConnectionLostError extends UowError {
  readonly code = 'UOW_CONNECTION_LOST';

  constructor(
    message: string,
    options?: ErrorOptions,
    /** True when it is known that the transaction's COMMIT did not happen, so that it may be run again. */
    readonly retryable: boolean = false,
  ) {
    super(message, options);
  }
}

/**
 * No connection can be had: every one is held by a transaction that itself waits for a second one, or
 * `acquireTimeout` passed. `holders` tells who has them.
 */
export class PoolExhaustedError extends UowError {
  readonly code = 'UOW_POOL_EXHAUSTED';

  constructor(
    message: string,
    /** Who holds the connections: method, age in milliseconds, last statement. */
    readonly holders: readonly ConnectionHolderInfo[],
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** One holder of a connection, as `PoolExhaustedError` lists it. */
export interface ConnectionHolderInfo {
  /** The method or place that opened the transaction. */
  readonly label: string;
  /** How long it has held its connection, in milliseconds. */
  readonly heldFor: number;
  /** The last statement it sent, shortened; `null` before the first. */
  readonly lastStatement: string | null;
  /** True when it waits for a second connection. */
  readonly waiting: boolean;
}
