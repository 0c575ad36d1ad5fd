// Module
export { UowModule } from './nest/uow.module.js';
export type {
  EntityOptions,
  UowModuleAsyncOptions,
  UowModuleOptions,
  UowOptions,
} from './nest/uow-module-options.js';

// Transactions
export { Transactional } from './nest/transactional.decorator.js';
export type { TransactionalDecorator, TransactionalResult } from './nest/transactional.decorator.js';
export { TransactionInterceptor } from './nest/transaction.interceptor.js';
export { TransactionManager } from './transaction/transaction-manager.js';
export type {
  Propagation,
  TransactionIsolation,
  TransactionOptions,
} from './transaction/transaction-definition.js';
export type { RetryOptions } from './transaction/retry-policy.js';
export type { ErrorClass, RollbackRule } from './transaction/rollback-rules.js';
export type { TransactionStatus } from './transaction/transaction-status.js';
export type { CompletionStatus } from './transaction/transaction-hooks.js';

// Errors
export { isUowError, UowError } from './errors/uow-error.js';
export * from './errors/database-errors.js';
export * from './errors/transaction-errors.js';
export * from './errors/module-errors.js';
