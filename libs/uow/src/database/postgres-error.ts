import {
  CheckViolationError,
  DatabaseError,
  DeadlockError,
  ExclusionViolationError,
  ForeignKeyViolationError,
  LockNotAvailableError,
  NotNullViolationError,
  SerializationFailureError,
  UniqueViolationError,
} from '../errors/database-errors.js';
import { isUowError } from '../errors/uow-error.js';
import type { DatabaseErrorFields } from '../errors/database-errors.js';

/** SQLSTATEs become typed errors here, and are read back out of any chain of wrapped errors. */

/** The SQLSTATEs after which the same work may be run again. */
export const SERIALIZATION_FAILURE = '40001';
export const DEADLOCK_DETECTED = '40P01';

type DatabaseErrorClass = new (message: string, fields: DatabaseErrorFields, options?: ErrorOptions) => DatabaseError;

const CLASS_BY_STATE: ReadonlyMap<string, DatabaseErrorClass> = new Map<string, DatabaseErrorClass>([
  ['23505', UniqueViolationError],
  // ON DELETE RESTRICT has a state of its own since PostgreSQL 18.
  ['23001', ForeignKeyViolationError],
  ['23503', ForeignKeyViolationError],
  ['23502', NotNullViolationError],
  ['23514', CheckViolationError],
  ['23P01', ExclusionViolationError],
  [SERIALIZATION_FAILURE, SerializationFailureError],
  [DEADLOCK_DETECTED, DeadlockError],
  ['55P03', LockNotAvailableError],
]);

interface ServerError extends Error {
  readonly code: string;
  readonly severity?: string;
  readonly detail?: string;
  readonly hint?: string;
  readonly schema?: string;
  readonly table?: string;
  readonly column?: string;
  readonly constraint?: string;
}

const SQLSTATE = /^[0-9A-Z]{5}$/;

/** True for an error that the server itself sent. */
export function isServerError(error: unknown): error is ServerError {
  return (
    error instanceof Error &&
    typeof (error as { severity?: unknown }).severity === 'string' &&
    SQLSTATE.test((error as { code?: string }).code ?? '')
  );
}

/**
 * Makes the typed error for what the server said.
 * @param driverError the error of the driver
 * @param cause what becomes `cause`: usually TypeORM's wrapper of the driver error
 */
export function toDatabaseError(driverError: Error, cause: unknown = driverError): DatabaseError {
  const server = driverError as Partial<ServerError>;
  const sqlState = server.code ?? '';
  const known = CLASS_BY_STATE.get(sqlState) ?? DatabaseError;
  return new known(
    // Not with its detail, which quotes values of the row: messages end up in logs.
    driverError.message,
    {
      sqlState,
      severity: server.severity,
      detail: server.detail,
      hint: server.hint,
      schema: server.schema,
      table: server.table,
      column: server.column,
      constraint: server.constraint,
    },
    { cause },
  );
}

/** The SQLSTATE in an error or in what caused it: ours, the driver's, or TypeORM's `QueryFailedError`. */
export function sqlStateOf(error: unknown): string | undefined {
  const seen = new Set<unknown>();
  let current: unknown = error;
  while (typeof current === 'object' && current !== null && !seen.has(current)) {
    seen.add(current);
    const one = current as {
      sqlState?: unknown;
      code?: unknown;
      driverError?: unknown;
      cause?: unknown;
    };
    if (typeof one.sqlState === 'string') return one.sqlState;
    if (typeof one.code === 'string' && SQLSTATE.test(one.code)) return one.code;
    current = one.driverError ?? one.cause;
  }
  return undefined;
}

/** True for errors after which the whole transaction may be run again. */
export function isRetryable(error: unknown): boolean {
  // Other libraries use the word for other things.
  if (isUowError(error) && (error as { retryable?: unknown }).retryable === true) return true;
  const state = sqlStateOf(error);
  return state === SERIALIZATION_FAILURE || state === DEADLOCK_DETECTED;
}
