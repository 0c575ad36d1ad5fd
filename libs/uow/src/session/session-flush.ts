import type { Statement, StatementResult } from '../database/statement.js';
import type { Change } from '../flush/change-set.js';
import { FlushExecutor } from '../flush/flush-executor.js';
import type { FlushPlan } from '../flush/flush-plan.js';
import { planFlush } from '../flush/flush-planner.js';
import { tableOrderOf } from '../flush/table-order.js';
import type { CommitPayload } from '../transaction/transaction-synchronization.js';
import type { PhysicalTransaction } from '../transaction/physical-transaction.js';
import { ChangeCollector } from './change-collector.js';
import type { CollectedChanges } from './change-collector.js';
import { FlushListeners, isHeardAfter, listensToFlushes } from './flush-listeners.js';
import { FlushPreparation } from './flush-preparation.js';
import type { PreparedFlush } from './flush-preparation.js';
import { previewOf } from './flush-preview.js';
import type { PreviewedStatement } from './flush-preview.js';
import { applyFlush } from './flush-result.js';
import { collectRelationChanges } from './relation-changes.js';
import type { RowPicture } from './row-picture.js';
import type { Session } from './session.js';
import type { SessionSource } from './session-source.js';
import type { UnitOfWork } from './unit-of-work.js';

/** Runs the flushes of a session: collects, plans, sends, and brings the objects up to what was written. */
export class SessionFlush {
  readonly #session: Session;
  readonly #unit: UnitOfWork;
  readonly #source: SessionSource;
  readonly #preparation: FlushPreparation;
  #running = 0;

  constructor(session: Session, unit: UnitOfWork, source: SessionSource) {
    this.#session = session;
    this.#unit = unit;
    this.#source = source;
    this.#preparation = new FlushPreparation(unit, session.reader);
  }

  /** True inside a flush and its hooks, where nothing flushes again. */
  get isRunning(): boolean {
    return this.#running > 0;
  }

  /** Sends everything that is pending, in one picture of the objects; begins a transaction where that is due. */
  async flush(operation: string): Promise<void> {
    if (this.isRunning || !this.#unit.hasWork) return;
    const transaction = this.#session.transactionFor('write', operation)!;
    await this.run(transaction, operation);
  }

  async run(transaction: PhysicalTransaction, operation: string): Promise<void> {
    await transaction.exclusive(operation, () => this.#runInTurn(transaction, operation));
  }

  async #runInTurn(transaction: PhysicalTransaction, operation: string): Promise<void> {
    this.#running++;
    try {
      if (this.#session.listeners.has('beforeFlush')) await this.#beforeFlush();
      const work = await this.#prepare(transaction, operation);
      if (work === null) return;
      await this.#sendAll(work, transaction, operation);
      await this.#afterFlush(work.collected.pictures);
    } finally {
      this.#running--;
    }
  }

  /** Sends what is left to send, and tells the entities' listeners. */
  async #sendAll(work: Work, transaction: PhysicalTransaction, operation: string): Promise<void> {
    while (!work.executor.isDone) await this.#send(work, work.executor.next(), transaction, operation);
    this.#unit.hasWritten = true;
    this.#apply(work, transaction);
    await work.listeners?.after(work.collected.pictures);
  }

  /** The last flush of a transaction: all but its last batch is sent, and that one is handed back to travel with COMMIT. */
  beforeCommit(transaction: PhysicalTransaction): Promise<CommitPayload | null> | CommitPayload | null {
    if (!this.#unit.hasWork) return null;
    if (this.#session.listeners.has('afterFlush')) return this.#flushAll(transaction);
    const work = this.#workAtOnce(transaction);
    if (work === null) return null;
    const statements = work?.executor.next();
    if (work?.executor.isDone === true) return this.#payload(work, statements!, transaction);
    return this.#flushToLast(transaction, work, statements);
  }

  async #flushAll(transaction: PhysicalTransaction): Promise<null> {
    await this.run(transaction, BEFORE_COMMIT);
    return null;
  }

  /**
   * Sends all but the last batch.
   * @param work what there is to do, and its first batch, where they are known already
   */
  async #flushToLast(
    transaction: PhysicalTransaction,
    work?: Work,
    first?: readonly Statement[],
  ): Promise<CommitPayload | null> {
    const last = await transaction.exclusive(BEFORE_COMMIT, () =>
      work === undefined
        ? this.#lastBatch(transaction, BEFORE_COMMIT)
        : this.#sendToLast(work, first!, transaction, BEFORE_COMMIT),
    );
    // What listeners have changed after the rows were written is part of the transaction, too.
    return last === 'more work' ? this.beforeCommit(transaction) : last;
  }

  async #lastBatch(transaction: PhysicalTransaction, operation: string): Promise<CommitPayload | 'more work' | null> {
    this.#running++;
    try {
      if (this.#session.listeners.has('beforeFlush')) await this.#beforeFlush();
      const work = await this.#prepare(transaction, operation);
      if (work === null) return null;
      if (isHeardAfter(work.collected.pictures)) {
        // Somebody has to be told between the last row and COMMIT.
        await this.#sendAll(work, transaction, operation);
        return this.#unit.hasWork ? 'more work' : null;
      }
      return await this.#sendToLast(work, work.executor.next(), transaction, operation);
    } finally {
      this.#running--;
    }
  }

  /** Sends all but the last batch. */
  async #sendToLast(
    work: Work,
    first: readonly Statement[],
    transaction: PhysicalTransaction,
    operation: string,
  ): Promise<CommitPayload> {
    this.#running++;
    try {
      let statements = first;
      while (!work.executor.isDone) {
        await this.#send(work, statements, transaction, operation);
        statements = work.executor.next();
      }
      return this.#payload(work, statements, transaction);
    } finally {
      this.#running--;
    }
  }

  #payload(work: Work, statements: readonly Statement[], transaction: PhysicalTransaction): CommitPayload {
    return {
      statements,
      settle: (results) => {
        work.executor.settle(results);
        this.#apply(work, transaction);
      },
      failed: () => this.#askWhatIsThere(work, transaction),
    };
  }

  /**
   * What a flush has to do where that can be told in one synchronous step, which needs no turn of its own.
   * @returns null for nothing; undefined where something is to be read or told first, or another operation has the turn
   */
  #workAtOnce(transaction: PhysicalTransaction): Work | null | undefined {
    if (!transaction.isFree || this.#session.listeners.has('beforeFlush')) return undefined;
    if (listensToFlushes(this.#source.mappings)) return undefined;
    this.#running++;
    try {
      const prepared = this.#preparation.settle(transaction);
      if (!prepared.isReady) return undefined;
      return this.#workOf(new ChangeCollector(this.#unit, transaction).collect(prepared), null, transaction);
    } finally {
      this.#running--;
    }
  }

  /** What a flush would send now. Relations that it would have to read first are taken as they are; nothing changes. */
  preview(): PreviewedStatement[] {
    const { transaction } = this.#session;
    const { mappings, database } = this.#source;
    return this.#unit.tentatively(() => {
      const prepared = this.#preparation.settle(transaction);
      const known: PreparedFlush = prepared.isReady
        ? prepared
        : { isReady: true, relations: collectRelationChanges(this.#unit), detachments: [] };
      return previewOf(new ChangeCollector(this.#unit, transaction).collect(known), mappings, database.options);
    });
  }

  async #prepare(transaction: PhysicalTransaction, operation: string): Promise<Work | null> {
    const listeners = listensToFlushes(this.#source.mappings) ? new FlushListeners(this.#unit, transaction) : null;
    return this.#workOf(await this.#collect(transaction, listeners, operation), listeners, transaction);
  }

  #workOf(
    collected: CollectedChanges,
    listeners: FlushListeners | null,
    transaction: PhysicalTransaction,
  ): Work | null {
    if (collected.changes.length === 0) {
      applyFlush(this.#unit, collected.pictures, transaction);
      return null;
    }
    const { database } = transaction;
    this.#source.shapes.keepFlush(collected.changes[0]!.mapping);
    const plan = planFlush(collected.changes, tableOrderOf(this.#source.mappings));
    const executor = new FlushExecutor(plan, {
      batching: database.options.batching,
      missed: (step, count) => {
        if (step.changes[0]!.subject === null) return;
        database.report({
          code: 'UOW_WARN_ROWS_GONE',
          message: `${count} of ${step.changes.length} rows of ${step.mapping.name} were gone already when a flush deleted them.`,
        });
      },
    });
    return { collected, plan, executor, listeners };
  }

  #apply({ collected, plan }: Work, transaction: PhysicalTransaction): void {
    applyFlush(this.#unit, collected.pictures, transaction);
    const { shapes } = this.#source;
    for (const step of plan.steps) {
      if (step.kind !== 'insert' || !shapes.lacksInserted(step.mapping)) continue;
      const inserted = collected.pictures.find(({ change }) => change === step.changes[0]);
      if (inserted !== undefined) shapes.keepInserted(inserted.state);
    }
  }

  /** Looks, reads and announces until nothing is missing; the picture is taken in the same step as the last look. */
  async #collect(
    transaction: PhysicalTransaction,
    listeners: FlushListeners | null,
    operation: string,
  ): Promise<CollectedChanges> {
    for (;;) {
      const prepared = this.#preparation.settle(transaction);
      if (!prepared.isReady) {
        await prepared.load(operation);
        continue;
      }
      const news = listeners?.news ?? [];
      if (news.length === 0) return new ChangeCollector(this.#unit, transaction).collect(prepared);
      await listeners!.announce(news);
    }
  }

  async #send(
    work: Work,
    statements: readonly Statement[],
    transaction: PhysicalTransaction,
    operation: string,
  ): Promise<void> {
    let results: StatementResult[];
    try {
      results = await transaction.run(statements, { operation, readTransactionId: true });
    } catch (error) {
      await this.#askWhatIsThere(work, transaction);
      throw error;
    }
    try {
      work.executor.settle(results);
    } catch (error) {
      // The rows are there, and the objects do not know it.
      transaction.noteFailure(error);
      throw error;
    }
  }

  /** Completes the error of a stale row. It must not wait: the failed transaction still holds its locks. */
  async #askWhatIsThere({ executor }: Work, { database, context }: PhysicalTransaction): Promise<void> {
    const { stale } = executor;
    if (stale === null || !database.hasFreeConnection) return;
    try {
      const [result] = await context.borrow([stale.question], 'reading what a stale row is now');
      stale.take(result!);
    } catch {
      // The error that is on its way says enough.
    }
  }

  #beforeFlush(): Promise<void> {
    return this.#session.listeners.emit('beforeFlush', { session: this.#session.handle });
  }

  async #afterFlush(pictures: readonly RowPicture[]): Promise<void> {
    if (!this.#session.listeners.has('afterFlush')) return;
    const written = (kind: Change['kind']): object[] =>
      pictures.flatMap(({ change, state }) => (change?.kind === kind ? [state.entity] : []));
    await this.#session.listeners.emit('afterFlush', {
      session: this.#session.handle,
      inserted: written('insert'),
      updated: written('update'),
      deleted: written('delete'),
    });
  }
}

/** How messages name the last flush of a transaction. */
const BEFORE_COMMIT = 'the flush before COMMIT';

interface Work {
  readonly collected: CollectedChanges;
  readonly plan: FlushPlan;
  readonly executor: FlushExecutor;
  /** Null where no entity has listeners. */
  readonly listeners: FlushListeners | null;
}
