import type { ClientMessageType, ServerMessageType } from './wire-messages.js';
import type { WireConnection, WireMessage } from './wire-transcript.js';

/** Which messages a rule is about; what is left out does not matter. */
export interface WireMatch {
  /** Default 'toServer'. */
  readonly direction?: 'toServer' | 'toClient';
  /** The statement's SQL: a string must be equal up to case, outer blanks and a final semicolon. */
  readonly sql?: string | RegExp;
  /**
   * Message types. Default to the server: the first message of an execution (Query, or Parse, or Bind), each execution
   * once. Default to the client: what ends the answer to a statement (CommandComplete, EmptyQueryResponse,
   * PortalSuspended, ErrorResponse).
   */
  readonly type?: ClientMessageType | ServerMessageType | readonly (ClientMessageType | ServerMessageType)[];
  readonly connection?: WireConnection;
  /** A further condition. */
  readonly where?: (message: WireMessage) => boolean;
  /** How often the rule applies. Default: a hold always, a cut once. */
  readonly times?: number;
}

const beginsExecution: ReadonlySet<string> = new Set(['Query', 'Parse', 'Bind', 'Execute']);
const endsExecution: ReadonlySet<string> = new Set(['Query', 'Execute']);
const endsAnswer: ReadonlySet<string> = new Set([
  'CommandComplete',
  'EmptyQueryResponse',
  'PortalSuspended',
  'ErrorResponse',
]);

/** Decides for one rule whether a message is meant, and counts. */
abstract class WireRule {
  readonly #match: WireMatch;
  readonly #types: ReadonlySet<string>;
  readonly #oncePerExecution: boolean;
  readonly #seen = new WeakSet();
  readonly #waiting: { readonly count: number; readonly resolve: (message: WireMessage) => void }[] = [];
  #hits = 0;

  protected constructor(match: WireMatch, toServerTypes: ReadonlySet<string>) {
    this.#match = match;
    const { type } = match;
    this.#types =
      type !== undefined
        ? new Set<string>(typeof type === 'string' ? [type] : type)
        : match.direction === 'toClient'
          ? endsAnswer
          : toServerTypes;
    this.#oncePerExecution = type === undefined;
  }

  /** How many messages the rule has been applied to. */
  get hits(): number {
    return this.#hits;
  }

  /**
   * Waits for a hit.
   *
   * @param count for which one; 1 is the first since the rule was made
   */
  async hit(count = 1): Promise<void> {
    if (this.#hits >= count) return;
    await new Promise<unknown>((resolve) => this.#waiting.push({ count, resolve }));
  }

  /** Whether the rule applies to this message; if so it is counted. */
  applies(message: WireMessage): boolean {
    const { direction = 'toServer', sql, connection, where, times = Infinity } = this.#match;
    if (message.direction !== direction || !this.#types.has(message.type) || this.#hits >= times) return false;
    if (connection !== undefined && connection !== message.connection) return false;
    if (sql !== undefined && !message.sql.some((text) => sameSql(text, sql))) return false;
    if (where !== undefined && !where(message)) return false;
    if (this.#oncePerExecution && message.execution !== undefined) {
      if (this.#seen.has(message.execution)) return false;
      this.#seen.add(message.execution);
    }
    this.#hits += 1;
    return true;
  }

  /** Tells those who wait for a hit; called when the message's fate is sealed. */
  announce(message: WireMessage): void {
    for (const { count, resolve } of this.#waiting) if (count <= this.#hits) resolve(message);
  }
}

/**
 * Holds messages back. Everything behind a held message on the same connection and in the same direction waits too, as
 * on a real wire.
 */
export class WireHold extends WireRule implements Disposable {
  readonly #held: { readonly message: WireMessage; readonly pass: () => void }[] = [];
  #released = false;

  constructor(match: WireMatch) {
    super(match, beginsExecution);
  }

  /** What is held at this moment. */
  get held(): readonly WireMessage[] {
    return this.#held.map(({ message }) => message);
  }

  /** Lets go what has been held longest, and goes on holding others. */
  releaseNext(): void {
    this.#held.shift()?.pass();
  }

  /** Lets everything go, and holds nothing any more. */
  release(): void {
    this.#released = true;
    while (this.#held.length > 0) this.releaseNext();
  }

  [Symbol.dispose](): void {
    this.release();
  }

  override applies(message: WireMessage): boolean {
    return !this.#released && super.applies(message);
  }

  /** Keeps a message until `pass` is called. */
  keep(message: WireMessage, pass: () => void): void {
    this.#held.push({ message, pass });
    this.announce(message);
  }
}

/** Cuts a connection at a message. */
export class WireCut extends WireRule {
  constructor(
    match: WireMatch,
    /** Whether the message still arrives. */
    readonly when: 'before' | 'after',
  ) {
    super({ times: 1, ...match }, when === 'before' ? beginsExecution : endsExecution);
  }
}

function sameSql(text: string, wanted: string | RegExp): boolean {
  if (wanted instanceof RegExp) return text.search(wanted) !== -1;
  const plain = (sql: string): string => sql.trim().replace(/;$/, '').toLowerCase();
  return plain(text) === plain(wanted);
}
