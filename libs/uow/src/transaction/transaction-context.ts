import type { ConnectionHolder, Database } from '../database/database.js';
import type { Statement, StatementResult } from '../database/statement.js';
import {
  ScopeStalledError,
  TransactionAlreadyBegunError,
  TransactionClosedError,
} from '../errors/transaction-errors.js';
import type { TransactionCancelledError } from '../errors/transaction-errors.js';
import { ambientFrame, runDetached } from './ambient.js';
import type { UnitOwner } from './ambient-unit.js';
import { cancelled } from './giving-up.js';
import { PhysicalTransaction } from './physical-transaction.js';
import { Place } from './place.js';
import { defineTransaction } from './transaction-definition.js';
import type { TransactionOptions } from './transaction-definition.js';
import type { TransactionScope } from './transaction-scope.js';
import type { TransactionObserver, TransactionSynchronization } from './transaction-synchronization.js';

/**
 * Where one session lives and, at a time, one transaction: a request, a message, a job, an outermost scope, a
 * REQUIRES_NEW, a session opened by hand. Root scopes of one context run one after the other.
 */
export class TransactionContext {
  /** Who takes part in the transactions of this context. */
  synchronization: TransactionSynchronization | null = null;
  /** What the room above keeps here for its lifetime: the session. */
  attachment: object | null = null;
  /** Who opened it, where that was by hand. */
  opener: Place | null = null;
  #transaction: PhysicalTransaction | null = null;
  #rootRunning: Place | null = null;
  #rootsWaiting: { readonly place: Place; readonly go: () => void }[] | null = null;
  #closers: (() => void | Promise<void>)[] | null = null;
  #closed = false;
  #idle: (() => void)[] | null = null;

  constructor(
    readonly database: Database,
    /** The transaction manager of the application. */
    readonly owner: UnitOwner,
    /** How messages name it, such as `POST /transfers`. */
    readonly label: string,
    /** The suspended context around it, if any. */
    readonly outer: TransactionContext | null = null,
  ) {}

  /** Who is told, awaited, of the physical transactions of the data source. */
  get observer(): TransactionObserver | null {
    return this.owner.observerOf(this.database);
  }

  /** The open transaction, declared or by hand. */
  get transaction(): PhysicalTransaction | null {
    return this.#transaction;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** True while a root scope runs or waits here. */
  get busy(): boolean {
    return this.#rootRunning !== null || (this.#rootsWaiting?.length ?? 0) > 0;
  }

  /** The declared scope of the running code, where it is one of this context. */
  currentScope(): TransactionScope | null {
    const frame = ambientFrame(this.database);
    const scope = frame?.scope ?? null;
    return scope !== null && scope.context === this ? scope : null;
  }

  /**
   * Opens a transaction by hand; BEGIN travels with its first statement.
   * @throws TransactionAlreadyBegunError when one is open, naming where it began
   */
  begin(origin: 'begin' | 'autobegin', operation: string, options: TransactionOptions = {}): PhysicalTransaction {
    this.assertOpen(operation);
    if (this.#transaction !== null) {
      throw new TransactionAlreadyBegunError(
        `${operation}: the session has a transaction already, begun by ${this.#transaction.place.toString()}. Commit or roll it back first, or use beginNested().`,
      );
    }
    return this.open(
      new PhysicalTransaction(this, defineTransaction(options, operation), origin, new Place(operation)),
    );
  }

  /** Makes the transaction the context's own; for the transaction room. */
  open(transaction: PhysicalTransaction): PhysicalTransaction {
    this.#transaction = transaction;
    this.synchronization?.opened?.(transaction);
    return transaction;
  }

  /** Called by a transaction that has ended. */
  transactionEnded(transaction: PhysicalTransaction): void {
    if (this.#transaction === transaction) this.#transaction = null;
  }

  /** Runs reads on a connection of their own, for them alone. */
  borrow(statements: readonly Statement[], operation: string): Promise<StatementResult[]> {
    this.assertOpen(operation);
    const holder: ConnectionHolder = {
      label: `${operation} of ${this.label}`,
      outer: this.outer?.transaction ?? null,
      overdue: null,
    };
    return runDetached(() => this.database.borrow(statements, holder));
  }

  /** @throws TransactionClosedError when the context has ended */
  assertOpen(what: Place | string): void {
    if (!this.#closed) return;
    throw new TransactionClosedError(
      `${what.toString()} came after the end of ${this.label}. Await the work before ${this.label} ends, or run it apart with TransactionManager.detach().`,
    );
  }

  /**
   * Waits for the turn of a root scope: two of one context run one after the other.
   * @param signal ends the wait with its reason
   * @returns nothing when it is free
   * @throws ScopeStalledError (as rejection) when the one in front sends nothing for `stallAfter`
   */
  enterRoot(place: Place, signal?: AbortSignal): Promise<void> | undefined {
    if (this.#rootRunning === null) {
      this.#rootRunning = place;
      return undefined;
    }
    const rootsWaiting = (this.#rootsWaiting ??= []);
    return new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      const stopWaiting = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
      };
      const waiting = {
        place,
        go: () => {
          stopWaiting();
          resolve();
        },
      };
      const refuse = (error: Error): void => {
        stopWaiting();
        rootsWaiting.splice(rootsWaiting.indexOf(waiting), 1);
        reject(error);
      };
      const onAbort = (): void => {
        refuse(signal?.reason as Error);
      };
      rootsWaiting.push(waiting);
      if (signal?.aborted === true) {
        onAbort();
        return;
      }
      signal?.addEventListener('abort', onAbort, { once: true });
      const { stallAfter } = this.database.options;
      const enteredAt = performance.now();
      const watch = (delay: number): void => {
        if (!Number.isFinite(delay)) return;
        timer = setTimeout(() => {
          const turns = this.#transaction?.turns;
          const silentFor = turns?.busy ? 0 : performance.now() - Math.max(turns?.top.lastActivity ?? 0, enteredAt);
          if (silentFor < stallAfter - 1) {
            watch(Math.max(stallAfter - silentFor, 1));
            return;
          }
          refuse(
            new ScopeStalledError(
              `${place.toString()} waits for ${this.#rootRunning?.toString() ?? 'another root scope'} of the same context (${this.label}), which has sent nothing for ${Math.round(silentFor)} ms. ` +
                `Two root scopes of one context run one after the other; do not let one wait for the other, or give one REQUIRES_NEW.`,
            ),
          );
        }, delay);
      };
      watch(stallAfter);
    });
  }

  /** The root scope has ended; the next one may begin. */
  leaveRoot(): void {
    const next = this.#rootsWaiting?.shift();
    this.#rootRunning = next?.place ?? null;
    if (next !== undefined) {
      next.go();
      return;
    }
    const idle = this.#idle;
    if (idle === null) return;
    this.#idle = null;
    for (const one of idle) one();
  }

  /** Resolves when no root scope runs here. */
  settled(): Promise<void> | undefined {
    if (!this.busy) return undefined;
    return new Promise((resolve) => (this.#idle ??= []).push(resolve));
  }

  /** The error for a transaction whose signal was aborted. */
  cancelled(label: string, reason: unknown): TransactionCancelledError {
    return cancelled(label, reason);
  }

  /** Sends what plain TypeORM code, about to query outside a transaction, must see. */
  async flushPending(): Promise<void> {
    await this.synchronization?.beforeStatement?.(this.#transaction);
  }

  /** Says what is open and would be lost at the end; `null` where nothing is. */
  openWork(): string | null {
    const open = this.#transaction;
    if (open !== null && open.origin !== 'declared' && open.begun) {
      return `a transaction begun by ${open.place.toString()}`;
    }
    return this.synchronization?.openWork?.() ?? null;
  }

  /** Rolls back and throws away what is open by hand. */
  async discard(): Promise<void> {
    const open = this.#transaction;
    if (open !== null && open.origin !== 'declared') await this.owner.rollBack(open);
    this.synchronization?.discard?.();
  }

  /** Has `fn` called when the context ends. */
  onClose(fn: () => void | Promise<void>): void {
    (this.#closers ??= []).push(fn);
  }

  /** Ends the context: an open transaction is rolled back, the session closed. Idempotent. */
  async close(): Promise<void> {
    await this.closing();
  }

  /** As `close()`, without a promise where there is nothing to wait for. */
  closing(): Promise<void> | undefined {
    if (this.#closed) return undefined;
    this.#closed = true;
    return this.#transaction === null ? this.#closeRest() : this.#closeOpen(this.#transaction);
  }

  async #closeOpen(open: PhysicalTransaction): Promise<void> {
    try {
      await this.owner.rollBack(open);
    } finally {
      await this.#closeRest();
    }
  }

  #closeRest(): Promise<void> | undefined {
    for (let closer = this.#closers?.shift(); closer !== undefined; closer = this.#closers?.shift()) {
      const closing = closer();
      if (closing !== undefined) return closing.then(() => this.#closeRest());
    }
    this.attachment = null;
    this.synchronization = null;
    return undefined;
  }
}
