import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

/** Milliseconds on the one clock that all threads share. */
export function monotonic(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** What an alarm shares with its thread: how many times it was set, and for when. */
export function alarmState(memory: SharedArrayBuffer): {
  readonly times: Int32Array;
  readonly due: Float64Array;
} {
  return { times: new Int32Array(memory, 0, 1), due: new Float64Array(memory, 8, 1) };
}

/**
 * Calls back after a time, to some tenth of a millisecond, and sleeps until then. Timers know whole milliseconds, and
 * an event loop that turns until it is time takes a processor away from those that are measured.
 */
export class Alarm {
  readonly #state;
  readonly #thread: Worker;

  private constructor(thread: Worker, memory: SharedArrayBuffer) {
    this.#thread = thread;
    this.#state = alarmState(memory);
  }

  static async start(): Promise<Alarm> {
    const memory = new SharedArrayBuffer(16);
    const thread = new Worker(new URL('./sleeper.js', import.meta.url), { workerData: memory });
    await once(thread, 'message');
    thread.unref();
    return new Alarm(thread, memory);
  }

  onRing(ring: () => void): void {
    this.#thread.on('message', ring);
  }

  /**
   * Sets it; again only once it has rung.
   *
   * @param ms from now; fractions count
   */
  set(ms: number): void {
    const { times, due } = this.#state;
    due[0] = monotonic() + ms;
    Atomics.add(times, 0, 1);
    Atomics.notify(times, 0);
  }

  async stop(): Promise<void> {
    await this.#thread.terminate();
  }
}
