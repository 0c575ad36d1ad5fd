// Module
export { UowModule } from './nest/uow.module.js';
export type { EntityOptions, UowModuleAsyncOptions, UowModuleOptions, UowOptions } from './nest/uow-module-options.js';

export { InjectDbSession, InjectDbSessionFactory } from './nest/inject-db-session.decorator.js';
export {
  getDbSessionFactoryToken,
  getDbSessionToken,
  getRequestDbSessionToken,
  REQUEST_DB_SESSION,
} from './nest/tokens.js';

// Sessions
export { DbSession } from './session/db-session.js';
export type {
  EntityClass,
  ExecuteOptions,
  SessionFindOneOptions,
  SessionFindOptions,
  SqlRows,
  SqlTag,
} from './session/db-session.js';
export type { BulkCriteria, BulkRow } from './session/db-session.js';
export type { BulkInsertOptions, BulkOptions } from './session/bulk.js';
export type { MergeOptions } from './session/merging.js';
export type { RefreshOptions } from './session/refreshing.js';
export type { BulkEvent } from './session/session-events.js';
export { DbSessionFactory } from './session/db-session-factory.js';
export type { SessionTransaction } from './session/session-transaction.js';
export type { ReadOptions } from './session/reader.js';
export type { StreamOptions } from './session/streaming.js';
export type { PreviewedStatement, PreviewedStep } from './session/flush-preview.js';
export type { ObjectState, StateCause } from './session/object-state.js';
export type { LockMode, LockOptions } from './database/loading.js';
export type { SessionOptions } from './session/session.js';
export { inspectEntity } from './session/inspect.js';
export type { Inspection, ValueChange } from './session/inspect.js';
export type {
  CommittedChange,
  CommittedChanges,
  FlushedObjects,
  SessionEventName,
  SessionEvents,
  SessionListener,
  StateChange,
} from './session/session-events.js';

// Transactions
export { Transactional } from './nest/transactional.decorator.js';
export type { TransactionalDecorator, TransactionalResult } from './nest/transactional.decorator.js';
export { TransactionalEventListener } from './nest/transactional-event-listener.decorator.js';
export type {
  TransactionalEventListenerOptions,
  TransactionPhase,
} from './nest/transactional-event-listener.decorator.js';
export { TransactionInterceptor } from './nest/transaction.interceptor.js';
export { TransactionManager } from './transaction/transaction-manager.js';
export type { Propagation, TransactionIsolation, TransactionOptions } from './transaction/transaction-definition.js';
export type { RetryOptions } from './transaction/retry-policy.js';
export type { ErrorClass, RollbackRule } from './transaction/rollback-rules.js';
export type { TransactionStatus } from './transaction/transaction-status.js';
export type { CompletionStatus } from './transaction/transaction-hooks.js';

// Errors
export { isUowError, UowError } from './errors/uow-error.js';
export * from './errors/database-errors.js';
export * from './errors/transaction-errors.js';
export * from './errors/module-errors.js';
export * from './errors/session-errors.js';
export * from './errors/flush-errors.js';
