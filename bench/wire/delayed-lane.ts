import type { Socket } from 'node:net';

interface Waiting {
  readonly chunk: Buffer;
  readonly due: number;
  readonly passed: (() => void) | undefined;
}

/** What timers cannot be trusted with; the last stretch is waited for turn by turn. */
const timerSlack = 1.1;

/** One direction of a proxied connection, whose bytes arrive a fixed time later, in order. */
export class DelayedLane {
  readonly #waiting: Waiting[] = [];
  #running = false;

  /** @param delay milliseconds; fractions count */
  constructor(
    readonly target: Socket,
    readonly delay: number,
  ) {}

  /** @param passed called when the bytes are passed on */
  push(chunk: Buffer, passed?: () => void): void {
    if (this.delay === 0) {
      passed?.();
      this.target.write(chunk);
      return;
    }
    this.#waiting.push({ chunk, due: performance.now() + this.delay, passed });
    if (!this.#running) this.#run();
  }

  #run(): void {
    const now = performance.now();
    while (this.#waiting.length > 0 && this.#waiting[0]!.due <= now) {
      const { chunk, passed } = this.#waiting.shift()!;
      passed?.();
      if (this.target.writable) this.target.write(chunk);
    }
    const next = this.#waiting[0];
    this.#running = next !== undefined;
    if (next === undefined) return;
    const remaining = next.due - now;
    const run = (): void => {
      this.#run();
    };
    if (remaining > timerSlack) setTimeout(run, Math.floor(remaining - timerSlack) || 1);
    else setImmediate(run);
  }
}
