import { ScopeStalledError } from '../errors/transaction-errors.js';
import type { Place } from './place.js';

/**
 * Whose turn it is on a transaction's connection. Operations take turns; a nested scope (or a flush) opens a
 * level, and while it is open only operations of that level run: those of its parent's other branches wait,
 * so that a rollback to its savepoint takes exactly its own writes along. JavaScript cannot see what a
 * promise waits for, so a level that sends nothing for `stallAfter` while others wait for it refuses them.
 */

/** One level of turns: the transaction itself, a nested scope in it, a flush. */
export class TurnLevel {
  /** When an operation of this level last began or ended; `performance.now()`. */
  lastActivity = performance.now();
  closed = false;

  constructor(
    /** Who opened it, for messages. */
    readonly place: Place,
    readonly parent: TurnLevel | null,
  ) {}
}

interface Waiter {
  readonly level: TurnLevel;
  readonly place: Place;
  readonly go: () => void;
  readonly refuse: (error: Error) => void;
  timer: NodeJS.Timeout | undefined;
}

export class Turns {
  readonly root: TurnLevel;
  #top: TurnLevel;
  #busy = false;
  /** Made for the first who waits. */
  #waiting: Waiter[] | null = null;
  readonly #stallAfter: number;

  constructor(place: Place, stallAfter: number) {
    this.root = new TurnLevel(place, null);
    this.#top = this.root;
    this.#stallAfter = stallAfter;
  }

  /** The innermost open level. */
  get top(): TurnLevel {
    return this.#top;
  }

  /** True while an operation has the connection. */
  get busy(): boolean {
    return this.#busy;
  }

  /**
   * Takes the turn for one operation of the level.
   * @param ahead true for an operation that is under way already and goes on
   * @returns nothing when it could be taken at once, else a promise to wait for
   * @throws ScopeStalledError (as rejection) when the level in front is silent for `stallAfter`
   */
  take(level: TurnLevel, place: Place, ahead = false): Promise<void> | undefined {
    if (!this.#busy && level === this.#top) {
      this.#busy = true;
      level.lastActivity = performance.now();
      return undefined;
    }
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { level, place, go: resolve, refuse: reject, timer: undefined };
      const waiting = (this.#waiting ??= []);
      if (ahead) {
        // It is behind what it started itself, which ends; to refuse it would undo work that went well.
        waiting.unshift(waiter);
        return;
      }
      waiting.push(waiter);
      this.#watch(waiter, this.#stallAfter);
    });
  }

  /** Gives the turn on. */
  give(): void {
    this.#busy = false;
    this.#top.lastActivity = performance.now();
    this.#next();
  }

  /** Opens a level within the caller's turn; the turn passes to the new level. */
  open(parent: TurnLevel, place: Place): TurnLevel {
    const level = new TurnLevel(place, parent);
    this.#top = level;
    this.give();
    return level;
  }

  /** Closes the innermost level; operations of its parent may go on. */
  close(level: TurnLevel): void {
    this.#leave(level);
    this.#next();
  }

  /**
   * Closes the innermost level for the operation around it, which goes on ahead of whoever waits.
   * @param parent the level of that operation
   * @returns nothing when it has its turn again at once, else a promise to wait for
   */
  closeInto(parent: TurnLevel, level: TurnLevel, place: Place): Promise<void> | undefined {
    this.#leave(level);
    const again = this.take(parent, place, true);
    this.#next();
    return again;
  }

  #leave(level: TurnLevel): void {
    level.closed = true;
    while (this.#top.closed && this.#top.parent !== null) this.#top = this.#top.parent;
    this.#top.lastActivity = performance.now();
  }

  /** Refuses everybody who waits: the transaction has ended. */
  refuseAll(error: (waiting: Place) => Error): void {
    const waiting = this.#waiting;
    if (waiting === null) return;
    this.#waiting = null;
    for (const one of waiting) {
      clearTimeout(one.timer);
      one.refuse(error(one.place));
    }
  }

  #next(): void {
    if (this.#busy || this.#waiting === null) return;
    const index = this.#waiting.findIndex((one) => one.level === this.#top);
    if (index === -1) return;
    const [next] = this.#waiting.splice(index, 1) as [Waiter];
    clearTimeout(next.timer);
    this.#busy = true;
    this.#top.lastActivity = performance.now();
    next.go();
  }

  #watch(waiter: Waiter, delay: number): void {
    if (!Number.isFinite(delay)) return;
    waiter.timer = setTimeout(() => {
      const silentFor = this.#busy ? 0 : performance.now() - this.#top.lastActivity;
      if (this.#top === waiter.level || silentFor < this.#stallAfter - 1) {
        this.#watch(waiter, Math.max(this.#stallAfter - silentFor, 1));
        return;
      }
      this.#waiting?.splice(this.#waiting.indexOf(waiter), 1);
      waiter.refuse(
        new ScopeStalledError(
          `${waiter.place.toString()} waits for ${this.#top.place.toString()}, which has sent nothing for ${Math.round(silentFor)} ms: ` +
            `probably each waits for the other. Await what runs outside a nested scope before the scope, or move it inside.`,
        ),
      );
    }, delay);
  }
}
