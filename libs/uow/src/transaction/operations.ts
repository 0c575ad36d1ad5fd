import { CompletingFrame, currentFrame, frameIn, runInFrame } from './ambient.js';
import type { PhysicalTransaction } from './physical-transaction.js';
import { Place } from './place.js';
import type { TransactionScope } from './transaction-scope.js';
import type { TransactionObserver } from './transaction-synchronization.js';
import type { TurnLevel, Turns } from './turns.js';

/** One operation: its scope counts it as in flight, and it has its turn from `takeTurn()` on, until `end()`. */
class Operation {
  readonly #turns: Turns;
  readonly #refuseAfterEnd: (place: Place) => void;
  readonly #level: TurnLevel;
  readonly #place: Place;
  readonly #scope: TransactionScope | null;
  #hasTurn = false;

  constructor(
    turns: Turns,
    refuseAfterEnd: (place: Place) => void,
    level: TurnLevel,
    place: Place,
    scope: TransactionScope | null,
  ) {
    this.#turns = turns;
    this.#refuseAfterEnd = refuseAfterEnd;
    this.#level = level;
    this.#place = place;
    this.#scope = scope;
    scope?.enter(place);
  }

  /** @returns nothing when it could be taken at once, else a promise to wait for */
  takeTurn(): Promise<void> | undefined {
    this.#refuseAfterEnd(this.#place);
    const waiting = this.#turns.take(this.#level, this.#place);
    if (waiting !== undefined) return waiting.then(() => this.#goOn());
    this.#hasTurn = true;
    return undefined;
  }

  #goOn(): void {
    this.#hasTurn = true;
    this.#refuseAfterEnd(this.#place);
  }

  end(): void {
    if (this.#hasTurn) this.#turns.give();
    this.#scope?.leave(this.#place);
  }
}

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
   * Begins an operation; whoever does ends it, whatever becomes of it.
   * @param operation how messages name it
   * @param from where it was started, if that is known already
   */
  begin(operation: string, from?: Place): Operation {
    const frame = frameIn(this.#transaction);
    const scope = frame?.completing === true ? null : (frame?.scope ?? null);
    // What completes a scope is never said to have been left behind.
    const place = from ?? (scope === null ? new Place(operation, false) : Place.ofOperation(operation));
    return new Operation(this.#turns, this.#refuseAfterEnd, frame?.level ?? this.#turns.root, place, scope);
  }

  /** Does the work of one operation in its turn. */
  async run<T>(operation: string, work: () => Promise<T>): Promise<T> {
    const begun = this.begin(operation);
    try {
      const waiting = begun.takeTurn();
      if (waiting !== undefined) await waiting;
      return await work();
    } finally {
      begun.end();
    }
  }

  /** Runs `fn`, within the caller's turn, in a level of its own; the caller has the turn again afterwards. */
  async runInside<T>(operation: string, fn: () => Promise<T>): Promise<T> {
    const { context } = this.#transaction;
    const frame = frameIn(this.#transaction);
    const parent = frame?.level ?? this.#turns.root;
    const place = new Place(operation, false);
    const level = this.#turns.open(parent, place);
    const { owner, scope } = frame ?? { owner: context.owner, scope: null };
    const inside = new CompletingFrame(currentFrame() ?? null, owner, scope ?? null, this.#transaction, level);
    try {
      return await runInFrame(inside, fn);
    } finally {
      // Ahead of whoever waits: the operation around this is not over.
      const again = this.#turns.closeInto(parent, level, place);
      if (again !== undefined) await again;
    }
  }

  /** Tells the observer of the data source, where there is one, within the caller's turn. */
  observe(tell: (observer: TransactionObserver) => Promise<void> | void): Promise<void> | undefined {
    const { observer } = this.#transaction.context;
    return observer === null ? undefined : this.runInside('a transaction subscriber', async () => tell(observer));
  }
}
