import { UowError } from './uow-error.js';

/**
 * A row is not as the session last saw it: another transaction has changed or deleted it, and writing would
 * overwrite a change that nobody here has seen (SQLAlchemy's `StaleDataError`). Roll back, read again, repeat.
 */
export class StaleDataError extends UowError {
  readonly code = 'UOW_STALE_DATA';
  /** The same work, begun again on fresh values, may succeed. */
  readonly retryable = true;
  /**
   * What is there now: the version, or the values of the changed columns where there is no version column; `null`
   * when the row is gone; `undefined` when it was not asked, because no connection was free. It is read after the
   * failure, so it may be newer than what the write met.
   */
  found: unknown = undefined;

  constructor(
    message: string,
    /** Name of the entity. */
    readonly entity: string,
    /** The key of the first stale row, by property. */
    readonly key: unknown,
    /** The version that the session knew; undefined for an entity without a version column. */
    readonly expectedVersion?: unknown,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** A flush could not be planned or carried out; nothing of it stays. */
export class FlushError extends UowError {
  readonly code: `UOW_${string}` = 'UOW_FLUSH';
}

/** Two sides of a relation were changed to different things; the message names both. */
export class RelationConflictError extends FlushError {
  override readonly code = 'UOW_RELATION_CONFLICT';
}

/** Rows refer to each other in a circle that no order of inserts satisfies: a foreign key in it must be nullable. */
export class CircularDependencyError extends FlushError {
  override readonly code = 'UOW_CIRCULAR_DEPENDENCY';
}

/** Rows exchange values of a unique constraint, and no order of updates avoids the collision. */
export class UniqueCycleError extends FlushError {
  override readonly code = 'UOW_UNIQUE_CYCLE';
}
