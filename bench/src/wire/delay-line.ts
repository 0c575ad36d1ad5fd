import type { Socket } from 'node:net';
import { Alarm } from './alarm.js';

interface Waiting {
  readonly target: Socket;
  readonly chunk: Buffer;
  readonly due: number;
  readonly passed: () => void;
}

/** Passes bytes on a fixed time after they came, in order, for all connections of a proxy. */
export class DelayLine {
  readonly #delay: number;
  readonly #alarm: Alarm;
  readonly #waiting: Waiting[] = [];

  private constructor(delay: number, alarm: Alarm) {
    this.#delay = delay;
    this.#alarm = alarm;
    alarm.onRing(() => {
      this.#passOn();
    });
  }

  /** @param delay milliseconds; fractions count */
  static async start(delay: number): Promise<DelayLine> {
    return new DelayLine(delay, await Alarm.start());
  }

  /** @param passed called when the bytes are passed on */
  push(target: Socket, chunk: Buffer, passed: () => void): void {
    const length = this.#waiting.push({ target, chunk, due: performance.now() + this.#delay, passed });
    if (length === 1) this.#alarm.set(this.#delay);
  }

  async stop(): Promise<void> {
    await this.#alarm.stop();
  }

  #passOn(): void {
    const now = performance.now();
    while (this.#waiting.length > 0 && this.#waiting[0]!.due <= now) {
      const { target, chunk, passed } = this.#waiting.shift()!;
      passed();
      if (target.writable) target.write(chunk);
    }
    if (this.#waiting.length > 0) this.#alarm.set(this.#waiting[0]!.due - now);
  }
}
