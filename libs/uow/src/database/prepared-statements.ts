import type { ResultField } from './statement.js';

/** A statement that the server has parsed under a name. */
export interface PreparedStatement {
  readonly name: string;
  /** What the server said of its columns, empty where it gives no rows; null until it was asked once. */
  readonly fields: readonly ResultField[] | null;
  /** The messages that execute it, where it has no parameters; null until they were needed once. */
  execution: Uint8Array | null;
}

/**
 * The named prepared statements of one connection: a bounded cache by text, least recently used out first.
 * Names are never reused: after an error it is unknown whether the server kept a name, so a new Parse takes a
 * new one, and the old name is closed with the next batch (closing an unknown name is not an error).
 */
export class PreparedStatements {
  readonly #statements = new Map<string, PreparedStatement>();
  readonly #limit: number;
  #closing: string[] = [];
  #counter = 0;

  /** @param limit how many statements a connection keeps */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** What the server knows of the text, if it does. */
  find(text: string): PreparedStatement | undefined {
    const known = this.#statements.get(text);
    if (known !== undefined && this.#statements.size >= this.#limit) {
      this.#statements.delete(text);
      this.#statements.set(text, known);
    }
    return known;
  }

  /** A fresh name for a text that is about to be parsed. */
  nextName(): string {
    this.#counter += 1;
    return `uow_${this.#counter}`;
  }

  /** The server has parsed the text under the name, and has told its columns. */
  keep(text: string, name: string, fields: readonly ResultField[] | null = null): void {
    const previous = this.#statements.get(text);
    if (previous !== undefined) this.#closing.push(previous.name);
    this.#statements.delete(text);
    this.#statements.set(text, { name, fields, execution: null });
    if (this.#statements.size > this.#limit) {
      const [oldest, statement] = this.#statements.entries().next().value as [string, PreparedStatement];
      this.#statements.delete(oldest);
      this.#closing.push(statement.name);
    }
  }

  /** The name may or may not exist on the server; it is not to be used again. */
  abandon(name: string): void {
    this.#closing.push(name);
  }

  /** The text's plan is of no use any more (its result type changed, or the server forgot it). */
  forget(text: string): void {
    const known = this.#statements.get(text);
    if (known === undefined) return;
    this.#statements.delete(text);
    this.#closing.push(known.name);
  }

  /** Names to close with the next batch; the caller sends the Close messages. */
  takeClosing(): readonly string[] {
    if (this.#closing.length === 0) return this.#closing;
    const names = this.#closing;
    this.#closing = [];
    return names;
  }

  /** How many statements are kept now. */
  get size(): number {
    return this.#statements.size;
  }
}
