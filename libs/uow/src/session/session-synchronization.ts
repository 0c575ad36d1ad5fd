import { ReadOnlyTransactionError } from '../errors/transaction-errors.js';
import type { PhysicalTransaction, Savepoint } from '../transaction/physical-transaction.js';
import type {
  CommitPayload,
  JoinedWrite,
  TransactionSynchronization,
} from '../transaction/transaction-synchronization.js';
import type { Session } from './session.js';
import type { SessionFlush } from './session-flush.js';
import type { UnitOfWork } from './unit-of-work.js';

/** How a session takes part in the transactions of its context: its one joint to them. */
export class SessionSynchronization implements TransactionSynchronization {
  readonly #session: Session;
  readonly #unit: UnitOfWork;
  readonly #flush: SessionFlush;

  constructor(session: Session, unit: UnitOfWork, flush: SessionFlush) {
    this.#session = session;
    this.#unit = unit;
    this.#flush = flush;
  }

  opened(transaction: PhysicalTransaction): void {
    if (!transaction.readOnly || !this.#unit.hasWork) return;
    throw new ReadOnlyTransactionError(
      `${transaction.label} is read-only, and the session has ${this.openWork() ?? 'changes'} that were not flushed. Flush or roll back before it.`,
    );
  }

  begun(): void {
    const { listeners } = this.#session;
    if (listeners.has('afterBegin')) listeners.emitNow('afterBegin', { session: this.#session.handle });
  }

  async beforeStatement(): Promise<void> {
    await this.#session.autoflush('a query of TypeORM code');
  }

  async beforeSavepoint(transaction: PhysicalTransaction): Promise<void> {
    if (!transaction.readOnly) await this.#flushAll(transaction, 'the flush before SAVEPOINT');
  }

  savepointOpened(savepoint: Savepoint): void {
    this.#unit.memory.open(savepoint);
  }

  async beforeRelease(savepoint: Savepoint): Promise<void> {
    await this.#flushAll(savepoint.transaction, 'the flush before RELEASE SAVEPOINT');
  }

  savepointReleased(savepoint: Savepoint): void {
    this.#unit.memory.release(savepoint);
  }

  savepointRolledBack(savepoint: Savepoint): void {
    this.#unit.rolledBackTo(savepoint);
  }

  async beforeCommit(transaction: PhysicalTransaction): Promise<void> {
    if (!transaction.readOnly) await this.#flushAll(transaction, 'the flush before COMMIT');
  }

  prepareCommit(transaction: PhysicalTransaction): Promise<CommitPayload | null> | CommitPayload | null {
    const { listeners } = this.#session;
    return listeners.has('beforeCommit')
      ? listeners.emit('beforeCommit', { session: this.#session.handle }).then(() => this.#lastFlush(transaction))
      : this.#lastFlush(transaction);
  }

  #lastFlush(transaction: PhysicalTransaction): Promise<CommitPayload | null> | CommitPayload | null {
    if (transaction.readOnly) {
      if (this.#unit.hasWork) {
        throw new ReadOnlyTransactionError(
          `${transaction.label} is read-only, and ${this.openWork() ?? 'objects'} were changed in it. Leave readOnly out, or do not change them.`,
        );
      }
      return null;
    }
    return this.#flush.beforeCommit(transaction);
  }

  committed(transaction: PhysicalTransaction): void {
    this.#session.committed()?.catch((error: unknown) => {
      transaction.database.report({
        code: 'UOW_WARN_LISTENER_FAILED',
        message: `An afterCommit listener of the session of ${transaction.label} threw; the transaction is committed.`,
        error,
      });
    });
  }

  rolledBack(_transaction: PhysicalTransaction, cause: unknown): void {
    this.#unit.rolledBack();
    const { listeners } = this.#session;
    if (listeners.has('afterRollback')) listeners.emitNow('afterRollback', { session: this.#session.handle, cause });
  }

  openWork(): string | null {
    return this.#session.describeUnflushedWork();
  }

  discard(): void {
    this.#unit.rolledBack();
  }

  joinedWrite(write: JoinedWrite): void {
    this.#unit.hasWritten = true;
    if (write.target === undefined) return;
    const mapping = this.#unit.mappings.all.find((one) => one.target === write.target || one.name === write.target);
    if (mapping === undefined) return;
    if (write.keys === undefined) {
      for (const state of this.#unit.identity.statesOf(mapping)) this.#unit.expire(state);
      return;
    }
    for (const key of write.keys) {
      let name;
      try {
        name = mapping.keyOfStored(mapping.keyParameters(key));
      } catch {
        continue;
      }
      const state = this.#unit.identity.get(mapping, name);
      if (state !== undefined) this.#unit.expire(state);
    }
  }

  async #flushAll(transaction: PhysicalTransaction, operation: string): Promise<void> {
    if (this.#flush.isRunning || !this.#unit.hasWork) return;
    await this.#flush.run(transaction, operation);
  }
}
