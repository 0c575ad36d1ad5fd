/**
 * The named prepared statements of one connection: a bounded cache by text, least recently used out first.
 * Names are never reused: after an error it is unknown whether the server kept a name, so a new Parse takes a
 * new one, and the old name is closed with the next batch (closing an unknown name is not an error).
 */
export class PreparedStatements {
  readonly #names = new Map<string, string>();
  readonly #limit: number;
  #closing: string[] = [];
  #counter = 0;

  /** @param limit how many statements a connection keeps */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** The name under which the server knows the text, if it does. */
  find(text: string): string | undefined {
    const name = this.#names.get(text);
    if (name !== undefined) {
      this.#names.delete(text);
      this.#names.set(text, name);
    }
    return name;
  }

  /** A fresh name for a text that is about to be parsed. */
  nextName(): string {
    this.#counter += 1;
    return `uow_${this.#counter}`;
  }

  /** The server has parsed the text under the name. */
  keep(text: string, name: string): void {
    const previous = this.#names.get(text);
    if (previous !== undefined) this.#closing.push(previous);
    this.#names.delete(text);
    this.#names.set(text, name);
    if (this.#names.size > this.#limit) {
      const [oldest, oldestName] = this.#names.entries().next().value as [string, string];
      this.#names.delete(oldest);
      this.#closing.push(oldestName);
    }
  }

  /** The name may or may not exist on the server; it is not to be used again. */
  abandon(name: string): void {
    this.#closing.push(name);
  }

  /** The text's plan is of no use any more (its result type changed, or the server forgot it). */
  forget(text: string): void {
    const name = this.#names.get(text);
    if (name === undefined) return;
    this.#names.delete(text);
    this.#closing.push(name);
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
    return this.#names.size;
  }
}
