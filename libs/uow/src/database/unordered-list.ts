/** What can be in an `UnorderedList`: it keeps its own place there. */
export interface Indexed {
  index: number;
}

/**
 * Entries in no order, added and removed in constant time.
 *
 * A `Set` would do, but for what it leaves behind: V8 has each hash table that a `Set` has replaced point at its
 * successor. Once one of them is in the old generation, every later one, with whatever was in it, survives until the
 * next full collection.
 */
export class UnorderedList<Entry extends Indexed> implements Iterable<Entry> {
  readonly #entries: Entry[] = [];

  get size(): number {
    return this.#entries.length;
  }

  /** @param entry in no other list, and not in this one */
  add(entry: Entry): void {
    entry.index = this.#entries.push(entry) - 1;
  }

  /** Does nothing where the entry is not there. */
  remove(entry: Entry): void {
    if (this.#entries[entry.index] !== entry) return;
    const last = this.#entries.pop()!;
    if (last === entry) return;
    last.index = entry.index;
    this.#entries[entry.index] = last;
  }

  [Symbol.iterator](): Iterator<Entry> {
    return this.#entries.values();
  }
}
