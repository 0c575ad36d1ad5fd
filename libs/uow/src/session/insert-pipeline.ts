import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Statement, StatementResult } from '../database/statement.js';
import type { PlacedInsert } from './insert-slices.js';

/** What the server is given at a time. */
const STATEMENTS_PER_ROUND_TRIP = 5;

interface FailingTransaction {
  noteFailure(error: unknown): void;
}

/**
 * Sends the inserts of a bulk insert: the next are made while the server works on those before, and wait for its
 * answer.
 */
export class InsertPipeline {
  /** By statement. */
  readonly results: StatementResult[] = [];
  /** By statement: where its rows stand among all that were given. */
  readonly places: (readonly number[])[] = [];
  readonly #transaction: FailingTransaction;
  readonly #run: (statements: readonly Statement[]) => Promise<readonly StatementResult[]>;
  #made: Statement[] = [];
  #running: Promise<void> | null = null;

  constructor(
    transaction: FailingTransaction,
    run: (statements: readonly Statement[]) => Promise<readonly StatementResult[]>,
  ) {
    this.#transaction = transaction;
    this.#run = run;
  }

  /** @param slices made as they are asked for */
  async send(slices: Iterable<readonly PlacedInsert[]>): Promise<void> {
    try {
      for (const inserts of slices) {
        for (const { statement, places } of inserts) {
          this.#made.push(statement);
          this.places.push(places);
          if (this.#made.length === STATEMENTS_PER_ROUND_TRIP) await this.#sendMade();
        }
        // The socket has a chance to take what it has not taken yet.
        if (this.#running !== null) await nextTurn();
      }
      if (this.#made.length > 0) await this.#sendMade();
      await this.#running;
    } catch (error) {
      const failure = await this.#firstFailure(error);
      // Some rows are written, and the others will not be.
      if (this.results.length > 0) this.#transaction.noteFailure(failure);
      throw failure;
    }
  }

  async #sendMade(): Promise<void> {
    await this.#running;
    const made = this.#made;
    this.#made = [];
    this.#running = this.#run(made).then((results) => {
      for (const result of results) this.results.push(result);
    });
    // Whoever waits for it may still be making the next.
    this.#running.catch(() => undefined);
  }

  /** What is on its way was there before the error. */
  async #firstFailure(error: unknown): Promise<unknown> {
    try {
      await this.#running;
      return error;
    } catch (earlier) {
      return earlier;
    }
  }
}
