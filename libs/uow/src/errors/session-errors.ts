import { UowError } from './uow-error.js';

/** The injected session was used outside every request, message, job and `@Transactional()` call. */
export class NoSessionError extends UowError {
  readonly code = 'UOW_NO_SESSION';
}

/** A class, or an instance of one, that is no entity of the session's data source (SQLAlchemy's `UnmappedInstanceError`). */
export class UnmappedEntityError extends UowError {
  readonly code = 'UOW_UNMAPPED_ENTITY';
}

/** An entity whose mapping sessions do not support; the message has the reason. Its repositories still work. */
export class UnsupportedMappingError extends UowError {
  readonly code = 'UOW_UNSUPPORTED_MAPPING';
}

/** Something that the session does not do in its present state, or with this object (SQLAlchemy's `InvalidRequestError`). */
export class InvalidSessionOperationError extends UowError {
  readonly code: `UOW_${string}` = 'UOW_INVALID_SESSION_OPERATION';
}

/** An id that does not have the parts of the entity's key. */
export class InvalidIdentityError extends InvalidSessionOperationError {
  override readonly code = 'UOW_INVALID_IDENTITY';
}

/** `commit`, `rollback` or `close` while another branch has an operation of the session in flight. Both are named. */
export class ConcurrentSessionUseError extends InvalidSessionOperationError {
  override readonly code = 'UOW_CONCURRENT_SESSION_USE';
}

/** No row has this key, or matches these criteria. Filters can map it to 404. */
export class EntityNotFoundError extends UowError {
  readonly code = 'UOW_ENTITY_NOT_FOUND';

  constructor(
    message: string,
    /** Name of the entity. */
    readonly entity: string,
    /** The key or keys that are missing, or the criteria. */
    readonly key: unknown,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
