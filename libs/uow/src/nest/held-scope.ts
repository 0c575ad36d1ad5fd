import { currentFrame, runInFrame } from '../transaction/ambient.js';
import type { Frame } from '../transaction/ambient.js';

/**
 * A scope that stays open after the method that it was opened for has returned: until the Observable or the
 * iteration that the method returned has ended.
 */

/** Runs a function in a scope, as `TransactionManager.execute` does. */
export type RunScope = (fn: () => Promise<unknown>) => Promise<unknown>;

/** An outcome that rolls back without being an error of the application: unsubscribed, never subscribed. */
export class ScopeAbandoned extends Error {}

export class HeldScope {
  /** Settles when the scope has been committed, with what `first` gave, or rolled back, with its error. */
  readonly done: Promise<unknown>;
  #frame: Frame | undefined;
  #finish: { resolve(): void; reject(error: unknown): void } | null = null;
  #early: { readonly failed: boolean; readonly error?: unknown } | null = null;
  #onOpen: (() => void) | null = null;
  #settled = false;

  /**
   * @param run opens the scope, now or when its turn comes, and again for each retry
   * @param first called in the scope when it opens; the promise that it gives ends the scope, which is held
   * open only where it gives none. It is not called again once the scope is held.
   */
  constructor(run: RunScope, first: () => Promise<unknown> | undefined = () => undefined) {
    let holding = false;
    this.done = run(() => {
      this.#frame = currentFrame();
      const own = holding ? undefined : first();
      if (own !== undefined) return own;
      holding = true;
      return this.#hold();
    }).finally(() => {
      this.#settled = true;
    });
    // Whoever waits for the end hears of a failure; nobody may be waiting.
    this.done.catch(() => undefined);
  }

  #hold(): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      this.#finish = { resolve, reject };
      if (this.#early === null) this.#onOpen?.();
      else if (this.#early.failed) reject(this.#early.error);
      else resolve();
    });
  }

  /** True when the scope has ended. */
  get settled(): boolean {
    return this.#settled;
  }

  /** The frame of the scope, once it is open. */
  get frame(): Frame | undefined {
    return this.#frame;
  }

  /** Has `start` called inside the scope: now if it is open, and for each retry. */
  whenOpen(start: () => void): void {
    this.#onOpen = start;
    if (this.#finish !== null && this.#early === null) this.run(start);
  }

  /** Runs `fn` inside the scope. */
  run<T>(fn: () => T): T {
    return runInFrame(this.#frame, fn);
  }

  /** Ends the scope well. */
  succeed(): void {
    if (this.#finish === null) this.#early ??= { failed: false };
    else this.#finish.resolve();
  }

  /** Ends the scope by an error. */
  fail(error: unknown): void {
    if (this.#finish === null) this.#early ??= { failed: true, error };
    else this.#finish.reject(error);
  }
}
