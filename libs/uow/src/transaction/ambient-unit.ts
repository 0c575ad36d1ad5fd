import type { Database } from '../database/database.js';
import { runInFrame } from './ambient.js';
import type { Frame } from './ambient.js';
import type { PhysicalTransaction } from './physical-transaction.js';
import { TransactionContext } from './transaction-context.js';
import type { TransactionObserver } from './transaction-synchronization.js';
import type { UnclaimedResult } from './unclaimed.js';

/** Whoever makes units: the transaction manager of one application. */
export interface UnitOwner {
  /** True for the data sources of the application. */
  owns(database: Database): boolean;
  /** Rolls back a transaction that nobody ended. */
  rollBack(transaction: PhysicalTransaction): Promise<unknown>;
  /** Who is told, awaited, of the physical transactions of the data source. */
  observerOf(database: Database): TransactionObserver | null;
}

/**
 * A unit of the application's work: a request, a message, a job, an outermost scope. It has a context for
 * each data source, made at first use, so that a unit that never touches one costs nothing. Once closed it is
 * an empty cell: code that still carries it finds no context there.
 */
export class AmbientUnit implements Frame {
  /** The context that was used first; few units have more. */
  #first: TransactionContext | null = null;
  #others: Map<Database, TransactionContext> | null = null;
  #closed = false;
  unclaimed: Set<UnclaimedResult> | null = null;

  constructor(
    readonly owner: UnitOwner,
    readonly parent: Frame | null,
    /** How messages name it, such as `POST /transfers`. */
    readonly label: string,
    /** Suspended contexts around it, by data source (REQUIRES_NEW, NOT_SUPPORTED). */
    readonly suspended: TransactionContext | null = null,
  ) {}

  /** True after `close()`. */
  get closed(): boolean {
    return this.#closed;
  }

  /** The contexts that were used so far. */
  get contexts(): Iterable<TransactionContext> {
    if (this.#first === null) return [];
    return this.#others === null ? [this.#first] : [this.#first, ...this.#others.values()];
  }

  /** True while a root scope runs or waits in it. */
  get busy(): boolean {
    // Of most requests: nothing was used.
    if (this.#first === null) return false;
    for (const context of this.contexts) if (context.busy) return true;
    return false;
  }

  contextOf(database: Database): TransactionContext | null {
    const first = this.#first;
    if (first?.database === database) return first;
    const known = this.#others?.get(database);
    if (known !== undefined) return known;
    if (this.#closed || !this.owner.owns(database)) return null;
    if (first === null && !this.canBegin()) return null;
    // A REQUIRES_NEW on one data source leaves the contexts of the others as they are.
    if (this.suspended !== null && this.suspended.database !== database) {
      return null;
    }
    const made = new TransactionContext(database, this.owner, this.label, this.suspended);
    if (first === null) this.#first = made;
    else (this.#others ??= new Map()).set(database, made);
    return made;
  }

  /** Asked before the first context is made: false where the unit has ended without anybody's having used it. */
  protected canBegin(): boolean {
    return true;
  }

  /** Runs `fn` inside the unit. */
  run<T>(fn: () => T): T {
    return runInFrame(this, fn);
  }

  /** Resolves when no root scope of it runs any more. */
  async settled(): Promise<void> {
    for (const context of this.contexts) await context.settled();
  }

  /** Says what is open and would be lost at the end: a transaction by hand, changes not flushed; else `null`. */
  openWork(): string | null {
    for (const context of this.contexts) {
      const open = context.openWork();
      if (open !== null) return open;
    }
    return null;
  }

  /** Rolls back and throws away what is open. */
  async discard(): Promise<void> {
    for (const context of this.contexts) await context.discard();
  }

  /** Ends the unit: what is open is rolled back, sessions are closed. Idempotent. */
  async close(): Promise<void> {
    await this.closing();
  }

  /** As `close()`, without a promise where there is nothing to wait for. */
  closing(): Promise<void> | undefined {
    if (this.#closed) return undefined;
    this.#closed = true;
    const first = this.#first;
    const others = this.#others;
    this.#first = null;
    this.#others = null;
    if (first === null) return undefined;
    return others === null ? first.closing() : closeAll([first, ...others.values()]);
  }
}

/** Closes each, whatever becomes of the others; the first failure is thrown. */
async function closeAll(contexts: readonly TransactionContext[]): Promise<void> {
  const failures: unknown[] = [];
  for (const context of contexts) await context.close().catch((error: unknown) => failures.push(error));
  if (failures.length > 0) throw failures[0];
}
