import { AsyncResource } from 'node:async_hooks';

/** What is watched: it knows by itself whom to name. */
export interface Watched {
  /** Says what is open for too long; null for what has limits of its own. */
  readonly overdue: (() => string) | null;
  /** In how many looks it was seen. */
  looks: number;
}

/**
 * Tells of what is open for longer than a limit, once for each. One timer serves all, looks as often as the limit is
 * long, and stops when nothing is open: so it tells of something between one limit and two after it was opened.
 */
export class OverdueWatch {
  readonly #limit: number;
  readonly #open: Iterable<Watched>;
  readonly #tell: (what: string) => void;
  // A timer would keep the request alive that happened to be the first.
  readonly #outside = new AsyncResource('OverdueWatch');
  #timer: NodeJS.Timeout | null = null;

  /**
   * @param limit milliseconds; nothing is told without a finite one above zero
   * @param open what is open, at any time
   */
  constructor(limit: number, open: Iterable<Watched>, tell: (what: string) => void) {
    this.#limit = limit;
    this.#open = open;
    this.#tell = tell;
  }

  /** To be called when something was opened. */
  start(): void {
    if (!Number.isFinite(this.#limit) || this.#limit <= 0) return;
    this.#timer ??= this.#outside.runInAsyncScope(() => setInterval(() => this.#look(), this.#limit).unref());
  }

  #look(): void {
    const watched = [...this.#open].filter(({ overdue }) => overdue !== null);
    if (watched.length === 0 && this.#timer !== null) {
      clearInterval(this.#timer);
      this.#timer = null;
    }
    for (const one of watched) {
      one.looks += 1;
      if (one.looks === 2) this.#tell(one.overdue!());
    }
  }
}
