import { AsyncResource } from 'node:async_hooks';

/** What is watched: it knows by itself whom to name. */
export interface Watched {
  /** Says what is open for too long; null for what has limits of its own. */
  readonly overdue: (() => string) | null;
}

/**
 * Tells of what is open for longer than a limit, once for each. One timer serves all, looks as often as the limit is
 * long, and stops when nothing is open: so it tells of something between one limit and two after it was opened.
 */
export class OverdueWatch {
  readonly #limit: number;
  readonly #tell: (what: string) => void;
  // A timer would keep the request alive that happened to be the first.
  readonly #outside = new AsyncResource('OverdueWatch');
  /** What is open, and in how many looks it was seen. */
  readonly #open = new Map<Watched, number>();
  #timer: NodeJS.Timeout | null = null;

  /** @param limit milliseconds; nothing is told without a finite one above zero */
  constructor(limit: number, tell: (what: string) => void) {
    this.#limit = limit;
    this.#tell = tell;
  }

  opened(watched: Watched): void {
    if (!Number.isFinite(this.#limit) || this.#limit <= 0) return;
    this.#open.set(watched, 0);
    this.#timer ??= this.#outside.runInAsyncScope(() => setInterval(() => this.#look(), this.#limit).unref());
  }

  closed(watched: Watched): void {
    this.#open.delete(watched);
  }

  #look(): void {
    if (this.#open.size === 0 && this.#timer !== null) {
      clearInterval(this.#timer);
      this.#timer = null;
    }
    for (const [watched, looks] of this.#open) {
      this.#open.set(watched, looks + 1);
      if (looks === 1 && watched.overdue !== null) this.#tell(watched.overdue());
    }
  }
}
