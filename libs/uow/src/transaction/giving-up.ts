import { sqlStateOf } from '../database/postgres-error.js';
import { TransactionCancelledError, TransactionTimedOutError } from '../errors/transaction-errors.js';
import { Deadline } from './deadline.js';
import type { TimeLimit } from './deadline.js';

/**
 * Whether and why a transaction is given up before its function has ended: its deadline passed, its signal was
 * aborted, it waits for itself, or its connection is no longer its own. Transactions inside it (REQUIRES_NEW) are
 * given up with it. Once COMMIT is on its way a wish comes too late.
 */

/** How urgent it is: a wish, a deadline, or a deadlock that would last for ever. */
export type Urgency = 'wish' | 'deadline' | 'deadlock';

const TRANSACTION_TIMEOUT = '25P04';
const QUERY_CANCELED = '57014';

export class GivingUp {
  readonly #label: string;
  readonly #onGivenUp: (reason: Error, late: boolean) => void;
  #deadline: Deadline | null = null;
  #inner: Set<GivingUp> | null = null;
  #undo: (() => void)[] | null = null;
  #reason: Error | null = null;
  #late: Error | null = null;
  #controller: AbortController | null = null;
  #phase: 'open' | 'committing with work' | 'committing' | 'over' = 'open';

  /**
   * @param label of the transaction, for messages
   * @param onGivenUp called once; `late` when COMMIT is on its way, so that its answer decides
   */
  constructor(label: string, onGivenUp: (reason: Error, late: boolean) => void) {
    this.#label = label;
    this.#onGivenUp = onGivenUp;
  }

  /** Why it was given up; `null` while it was not. */
  get reason(): Error | null {
    return this.#reason;
  }

  /** Aborted when it is given up; undefined where nothing could do that. */
  get signal(): AbortSignal | undefined {
    return this.#controller?.signal;
  }

  /** Milliseconds until the deadline; Infinity without one. */
  get timeLeft(): number {
    return this.#deadline === null ? Infinity : this.#deadline.at - performance.now();
  }

  /** The limit that has passed; undefined where the server has one of its own that was shorter. */
  get #passed(): TimeLimit | undefined {
    return this.timeLeft <= 0 ? this.#deadline?.first : undefined;
  }

  /** @throws why it was given up, where it was */
  assertNot(): void {
    if (this.#reason !== null) throw this.#reason;
  }

  giveUp(reason: Error, urgency: Urgency): void {
    if (this.#reason !== null || this.#phase === 'over') return;
    if (this.#phase !== 'open') {
      // A cancel that reaches COMMIT itself could end its wait for a replica: only what waits for a lock is cancelled.
      if (urgency === 'wish' || (urgency === 'deadline' && this.#phase === 'committing')) return;
      this.#late ??= reason;
      this.#onGivenUp(reason, true);
      return;
    }
    this.#reason = reason;
    this.#onGivenUp(reason, false);
    this.#controller?.abort(reason);
    for (const one of this.#inner ?? []) one.giveUp(reason, 'wish');
  }

  /**
   * Adds a limit.
   * @returns takes it away again
   */
  limit(limit: TimeLimit): () => void {
    this.#controller ??= new AbortController();
    this.#deadline ??= new Deadline((passed) => {
      this.giveUp(this.#timedOut(passed), 'deadline');
    });
    return this.#deadline.add(limit);
  }

  /**
   * Listens to a signal of the application.
   * @param label who gave it
   * @returns listens no more
   */
  listen(signal: AbortSignal, label: string): () => void {
    this.#controller ??= new AbortController();
    const onAbort = (): void => {
      this.giveUp(cancelled(label, signal.reason), 'wish');
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    const undo = (): void => {
      signal.removeEventListener('abort', onAbort);
    };
    (this.#undo ??= []).push(undo);
    return undo;
  }

  /** Is given up with the outer one, and has no more time than that. */
  inherit(outer: GivingUp): void {
    this.#controller ??= new AbortController();
    const beside = (outer.#inner ??= new Set());
    beside.add(this);
    (this.#undo ??= []).push(() => beside.delete(this));
    const first = outer.#deadline?.first;
    if (first !== undefined) this.limit(first);
    if (outer.#reason !== null) this.giveUp(outer.#reason, 'wish');
  }

  /**
   * COMMIT goes out now.
   * @param withWork true where statements travel in front of it
   */
  startCommitting(withWork: boolean): void {
    if (this.#phase === 'open') this.#phase = withWork ? 'committing with work' : 'committing';
  }

  /** True from COMMIT on until the transaction has ended. */
  get isCommitting(): boolean {
    return this.#phase === 'committing' || this.#phase === 'committing with work';
  }

  /** The transaction has ended. */
  stop(): void {
    this.#phase = 'over';
    this.#deadline?.stop();
    for (const undo of this.#undo?.splice(0) ?? []) undo();
  }

  /** The server ended the connection: where that was for the deadline, the transaction is given up for it. */
  noteLost(reason: Error): void {
    if (sqlStateOf(reason) === TRANSACTION_TIMEOUT) this.#giveUpNow(this.#timedOut(this.#passed, reason));
  }

  /** What is stored is no longer what the transaction says, whatever it does. */
  noteEndedOutside(error: Error): void {
    this.#giveUpNow(error);
  }

  #giveUpNow(reason: Error): void {
    if (this.#phase === 'open') this.giveUp(reason, 'wish');
    else this.#reason ??= reason;
  }

  /**
   * The reason behind a failed exchange, where it failed because of one.
   * @param error what the driver said
   */
  behind(error: unknown): Error | null {
    if (this.#reason !== null) return this.#reason;
    const state = sqlStateOf(error);
    if (state === TRANSACTION_TIMEOUT) this.#giveUpNow(this.#timedOut(this.#passed, error));
    else if (state === QUERY_CANCELED) {
      if (this.#late !== null) this.#reason = this.#late;
      // Before PostgreSQL 17 the server enforces the deadline by statement_timeout.
      else if (this.#passed !== undefined) this.#giveUpNow(this.#timedOut(this.#passed, error));
    }
    return this.#reason;
  }

  #timedOut(limit: TimeLimit | undefined, cause?: unknown): TransactionTimedOutError {
    const allowed =
      limit === undefined
        ? "the server's transaction_timeout allows"
        : `the ${String(limit.milliseconds)} ms that ${limit.label} allows`;
    return new TransactionTimedOutError(
      `The transaction of ${this.#label} ran longer than ${allowed} and is rolled back. Do less in it, or raise the timeout.`,
      cause === undefined ? undefined : { cause },
    );
  }
}

/** The error for a transaction whose signal was aborted. */
export function cancelled(label: string, reason: unknown): TransactionCancelledError {
  return new TransactionCancelledError(
    `The transaction of ${label} was cancelled by its signal and is rolled back: ${reason instanceof Error ? reason.message : String(reason)}`,
    { cause: reason },
  );
}
