import { currentFrame, frameIn, runInFrame } from './ambient.js';
import type { Frame } from './ambient.js';
import type { PhysicalTransaction } from './physical-transaction.js';
import { Place } from './place.js';
import type { TransactionObserver } from './transaction-synchronization.js';
import type { Turns } from './turns.js';

/**
 * The operations of one transaction: each needs an open scope and its turn, counts as in flight meanwhile, and may
 * hold the turn for work of its own inside, which then runs in its turn and never behind it.
 */
export class Operations {
  readonly #transaction: PhysicalTransaction;
  readonly #turns: Turns;
  readonly #refuseAfterEnd: (place: Place) => void;

  /** @param refuseAfterEnd throws when the transaction takes nothing more */
  constructor(transaction: PhysicalTransaction, turns: Turns, refuseAfterEnd: (place: Place) => void) {
    this.#transaction = transaction;
    this.#turns = turns;
    this.#refuseAfterEnd = refuseAfterEnd;
  }

  /**
   * Runs one operation.
   * @param operation how messages name it
   * @param from where it was started, if that is known already
   */
  async run<T>(operation: string, work: () => Promise<T>, from?: Place): Promise<T> {
    const frame = frameIn(this.#transaction);
    const scope = frame?.completing === true ? null : (frame?.scope ?? null);
    // What completes a scope is never said to have been left behind.
    const place = from ?? (scope === null ? new Place(operation, false) : new Place(operation));
    if (scope !== null) scope.enter(place);
    try {
      this.#refuseAfterEnd(place);
      const waiting = this.#turns.take(frame?.level ?? this.#turns.root, place);
      if (waiting !== undefined) await waiting;
      try {
        this.#refuseAfterEnd(place);
        return await work();
      } finally {
        this.#turns.give();
      }
    } finally {
      scope?.leave(place);
    }
  }

  /** Runs `fn`, within the caller's turn, in a level of its own; the caller has the turn again afterwards. */
  async runInside<T>(operation: string, fn: () => Promise<T>): Promise<T> {
    const { context } = this.#transaction;
    const frame = frameIn(this.#transaction);
    const parent = frame?.level ?? this.#turns.root;
    const place = new Place(operation, false);
    const level = this.#turns.open(parent, place);
    const inside: Frame = {
      parent: currentFrame() ?? null,
      owner: frame?.owner ?? context.owner,
      scope: frame?.scope ?? null,
      transaction: this.#transaction,
      level,
      completing: true,
      contextOf: (database) => (database === context.database ? context : null),
    };
    try {
      return await runInFrame(inside, fn);
    } finally {
      // Ahead of whoever waits: the operation around this is not over.
      const again = this.#turns.take(parent, place, true);
      this.#turns.close(level);
      await again;
    }
  }

  /** Tells the observer of the data source, where there is one, within the caller's turn. */
  observe(tell: (observer: TransactionObserver) => Promise<void> | void): Promise<void> | undefined {
    const { observer } = this.#transaction.context;
    return observer === null ? undefined : this.runInside('a transaction subscriber', async () => tell(observer));
  }
}
