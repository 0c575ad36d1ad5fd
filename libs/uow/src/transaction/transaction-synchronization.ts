import type { Statement, StatementResult } from '../database/statement.js';
import type { PhysicalTransaction, Savepoint } from './physical-transaction.js';

/**
 * How something that holds state in memory (a session) takes part in the transactions of its context, without
 * this folder knowing what it is (Spring's `TransactionSynchronization`). All members are optional; those
 * without a promise run synchronously, before any code of the application sees the new state.
 */
export interface TransactionSynchronization {
  /** A transaction opens in the context, declared or by hand; nothing has been sent. Each retry opens anew. */
  opened?(transaction: PhysicalTransaction): void;
  /** The server has answered BEGIN. */
  begun?(transaction: PhysicalTransaction): void;
  /** Plain TypeORM code is about to run a statement (autoflush), outside a transaction where it is `null`. */
  beforeStatement?(transaction: PhysicalTransaction | null): Promise<void> | void;
  /** A savepoint is about to open: what belongs before it has to be sent now. */
  beforeSavepoint?(transaction: PhysicalTransaction): Promise<void> | void;
  savepointOpened?(savepoint: Savepoint): void;
  /** A savepoint's scope ended well: what belongs to it has to be sent before RELEASE. */
  beforeRelease?(savepoint: Savepoint): Promise<void> | void;
  savepointReleased?(savepoint: Savepoint): void;
  /** ROLLBACK TO was sent; memory goes back to where it was when the savepoint opened. */
  savepointRolledBack?(savepoint: Savepoint, cause: unknown): void;
  /** Work that has to be on the server before `beforeCompletion` hooks run. */
  beforeCommit?(transaction: PhysicalTransaction): Promise<void> | void;
  /** The last work before COMMIT. What is returned travels with COMMIT under one Sync. */
  prepareCommit?(transaction: PhysicalTransaction): Promise<CommitPayload | null> | CommitPayload | null;
  committed?(transaction: PhysicalTransaction): void;
  /** Rolled back, or lost: memory goes back before any hook runs. */
  rolledBack?(transaction: PhysicalTransaction, cause: unknown): void;
  /** Says what has been neither flushed nor thrown away, such as `2 changed objects`; `null` where there is nothing. */
  openWork?(): string | null;
  /** Throws away what has not been flushed. */
  discard?(): void;
  /** Plain TypeORM code wrote rows that the session may hold objects of. */
  joinedWrite?(write: JoinedWrite): void;
}

/** Statements that travel with COMMIT. */
export interface CommitPayload {
  readonly statements: readonly Statement[];
  /** Called with their results before `committed`, when the commit succeeded. */
  settle(results: readonly StatementResult[]): void;
  /** Called when the commit failed and was rolled back, before its error is thrown. Must not throw. */
  failed?(error: unknown): Promise<void>;
}

/** A write of plain TypeORM code. */
export interface JoinedWrite {
  readonly kind: 'save' | 'insert' | 'remove' | 'update' | 'delete' | 'raw';
  /** Entity class or schema name; absent for raw SQL. */

  readonly target?: Function | string | undefined;
  /** Key maps of the rows, where they are known. */
  readonly keys?: readonly object[] | undefined;
}

/**
 * Told of the physical transactions of a data source as they begin and end, awaited: TypeORM's subscribers
 * (`beforeTransactionStart`, …) are served through it. What runs in the `before…` members runs inside the
 * transaction.
 */
export interface TransactionObserver {
  beforeBegin?(transaction: PhysicalTransaction): Promise<void> | void;
  afterBegin?(transaction: PhysicalTransaction): Promise<void> | void;
  beforeCommit?(transaction: PhysicalTransaction): Promise<void> | void;
  afterCommit?(transaction: PhysicalTransaction): Promise<void> | void;
  beforeRollback?(transaction: PhysicalTransaction): Promise<void> | void;
  afterRollback?(transaction: PhysicalTransaction): Promise<void> | void;
}
