import type { PhysicalTransaction, Savepoint } from '../transaction/physical-transaction.js';
import { TransactionClosedError } from '../errors/transaction-errors.js';

/** As much of a session as the handle of its transaction needs. */
interface TransactionalSession {
  commit(operation: string): Promise<void>;
  rollback(operation: string): Promise<void>;
  endSavepoint(transaction: PhysicalTransaction, savepoint: Savepoint, keep: boolean): Promise<void>;
}

/**
 * The handle of a transaction, or of a savepoint in it, that `begin()` or `beginNested()` opened. Disposing it
 * rolls back unless `commit()` was called: a disposer is not told whether its block failed.
 *
 * @example
 * await using transaction = await session.begin();
 * session.add(new Account(…));
 * await transaction.commit();
 */
export class SessionTransaction implements AsyncDisposable {
  readonly #transaction: PhysicalTransaction;
  readonly #session: TransactionalSession;
  readonly #savepoint: Savepoint | null;

  constructor(transaction: PhysicalTransaction, session: TransactionalSession, savepoint: Savepoint | null = null) {
    this.#transaction = transaction;
    this.#session = session;
    this.#savepoint = savepoint;
  }

  /** True until it is committed or rolled back, by this handle or otherwise. */
  get isActive(): boolean {
    return this.#savepoint?.isActive ?? this.#transaction.isActive;
  }

  /** True for the handle of a savepoint. */
  get isNested(): boolean {
    return this.#savepoint !== null;
  }

  /**
   * Flushes and commits; a savepoint is released.
   * @throws TransactionClosedError when it has ended already
   */
  async commit(): Promise<void> {
    this.#expectActive('commit');
    if (this.#savepoint !== null) await this.#session.endSavepoint(this.#transaction, this.#savepoint, true);
    else await this.#session.commit('commit()');
  }

  /**
   * Rolls back; memory goes back with it.
   * @throws TransactionClosedError when it has ended already
   */
  async rollback(): Promise<void> {
    this.#expectActive('rollback');
    if (this.#savepoint !== null) await this.#session.endSavepoint(this.#transaction, this.#savepoint, false);
    else await this.#session.rollback('rollback()');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.isActive) await this.rollback();
  }

  #expectActive(operation: string): void {
    if (this.isActive) return;
    throw new TransactionClosedError(
      `${operation}() of a ${this.isNested ? 'savepoint' : 'transaction'} that has ended already. Begin a new one.`,
    );
  }
}
