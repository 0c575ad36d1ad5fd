/**
 * The deadline of one transaction: the earliest of the limits that hold now. The transaction's own limit holds
 * to its end; a nested scope adds one of its own for as long as it runs. Times are those of `performance.now()`.
 */

/** One limit: when it passes, how long it was, and who set it. */
export interface TimeLimit {
  readonly at: number;
  readonly milliseconds: number;
  readonly label: string;
}

const LONGEST_TIMER = 2_147_483_647;

export class Deadline {
  readonly #limits: TimeLimit[] = [];
  readonly #onPassed: (limit: TimeLimit) => void;
  #timer: NodeJS.Timeout | undefined;
  #over = false;

  /** @param onPassed called once, when the earliest limit has passed */
  constructor(onPassed: (limit: TimeLimit) => void) {
    this.#onPassed = onPassed;
  }

  /** The limit that passes first; undefined without any. */
  get first(): TimeLimit | undefined {
    let first: TimeLimit | undefined;
    for (const one of this.#limits) if (first === undefined || one.at < first.at) first = one;
    return first;
  }

  /** When the earliest limit passes; Infinity without one. */
  get at(): number {
    return this.first?.at ?? Infinity;
  }

  /**
   * Adds a limit.
   * @returns takes it away again
   */
  add(limit: TimeLimit): () => void {
    this.#limits.push(limit);
    this.#arm();
    return () => {
      const index = this.#limits.indexOf(limit);
      if (index === -1) return;
      this.#limits.splice(index, 1);
      this.#arm();
    };
  }

  /** Nothing passes any more. */
  stop(): void {
    this.#over = true;
    clearTimeout(this.#timer);
  }

  #arm(): void {
    clearTimeout(this.#timer);
    const { first } = this;
    if (first === undefined || this.#over) return;
    // A timer may fire a little early.
    const left = Math.ceil(first.at - performance.now());
    this.#timer = setTimeout(
      () => {
        if (first.at - performance.now() > 0) this.#arm();
        else this.#onPassed(first);
      },
      Math.min(Math.max(left, 0), LONGEST_TIMER),
    );
  }
}
