import { AmbientUnit } from '../transaction/ambient-unit.js';
import type { UnitOwner } from '../transaction/ambient-unit.js';
import type { Frame } from '../transaction/ambient.js';

/** The part of Node's response that tells of its end. */
export interface EndingResponse {
  readonly statusCode: number;
  readonly writableFinished: boolean;
  /** True from its end on; HTTP/2 has it on the stream alone. */
  readonly destroyed?: boolean;
  readonly stream?: { readonly destroyed: boolean };
  on(event: 'close', listener: () => void): unknown;
}

/**
 * The unit of a request that will be answered: it knows whether its client still waits. Until it is used it does not
 * even listen for the end of the response, which is all that most requests of an application cost.
 */
export class RequestUnit extends AmbientUnit {
  readonly #response: EndingResponse;
  readonly #whenEnded: (unit: RequestUnit, response: EndingResponse) => void;
  #listens = false;
  #ended = false;
  #disconnect: AbortController | null = null;

  /** @param whenEnded called once the response has ended, where the unit was used before */
  constructor(
    owner: UnitOwner,
    parent: Frame | null,
    label: string,
    response: EndingResponse,
    whenEnded: (unit: RequestUnit, response: EndingResponse) => void,
  ) {
    super(owner, parent, label);
    this.#response = response;
    this.#whenEnded = whenEnded;
  }

  override get closed(): boolean {
    return super.closed || (!this.#listens && hasEnded(this.#response));
  }

  protected override canBegin(): boolean {
    this.#listen();
    return !this.#ended;
  }

  #listen(): void {
    if (this.#listens || this.#ended) return;
    if (hasEnded(this.#response)) {
      this.#ended = true;
      return;
    }
    this.#listens = true;
    // It comes once; to listen once costs a listener more.
    this.#response.on('close', () => {
      this.#ended = true;
      const { writableFinished } = this.#response;
      if (!writableFinished) this.#disconnect?.abort(new Error(`The client of ${this.label} went away`));
      this.#whenEnded(this, this.#response);
    });
  }

  /** Aborted when the client goes away unanswered; `undefined` once the response has ended. */
  disconnectSignal(): AbortSignal | undefined {
    this.#listen();
    if (this.#ended) return undefined;
    this.#disconnect ??= new AbortController();
    return this.#disconnect.signal;
  }
}

function hasEnded({ destroyed, stream }: EndingResponse): boolean {
  return destroyed ?? stream?.destroyed ?? false;
}
