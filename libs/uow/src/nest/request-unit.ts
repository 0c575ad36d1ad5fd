import { AmbientUnit } from '../transaction/ambient-unit.js';

/** The unit of a request that will be answered: it knows whether its client still waits. */
export class RequestUnit extends AmbientUnit {
  #ended = false;
  #disconnect: AbortController | null = null;

  /** Aborted when the client goes away unanswered; `undefined` once the response has ended. */
  disconnectSignal(): AbortSignal | undefined {
    if (this.#ended) return undefined;
    this.#disconnect ??= new AbortController();
    return this.#disconnect.signal;
  }

  /** @param answered whether all of the response was sent */
  responseEnded(answered: boolean): void {
    this.#ended = true;
    if (!answered) this.#disconnect?.abort(new Error(`The client of ${this.label} went away`));
  }
}
