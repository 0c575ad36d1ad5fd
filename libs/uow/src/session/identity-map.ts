import type { EntityMapping, IdentityKey } from '../database/entity-mapping.js';
import type { InstanceState } from './instance-state.js';
import { LargeIdentityTable } from './large-identity-table.js';
import type { IdentityTable } from './large-identity-table.js';

/** The persistent objects of one session by table and key: never two objects for one row. */
export class IdentityMap {
  readonly #tables = new Map<EntityMapping, IdentityTable>();

  get(mapping: EntityMapping, key: IdentityKey): InstanceState | undefined {
    return this.#tables.get(mapping.root)?.get(key);
  }

  /** The objects of a mapping's table. */
  statesOf(mapping: EntityMapping): Iterable<InstanceState> {
    return this.#tables.get(mapping.root)?.values() ?? [];
  }

  set(state: InstanceState): void {
    const { root } = state.mapping;
    let table = this.#tables.get(root);
    if (table === undefined) this.#tables.set(root, (table = new Map<IdentityKey, InstanceState>()));
    table.set(state.key!, state);
    if (table instanceof Map && table.size === LargeIdentityTable.LARGEST_MAP) {
      this.#tables.set(root, new LargeIdentityTable(table.values()));
    }
  }

  /** Takes the object out, if it is the one that stands there. */
  delete(state: InstanceState): void {
    const table = this.#tables.get(state.mapping.root);
    if (table?.get(state.key!) === state) table.delete(state.key!);
  }

  *[Symbol.iterator](): Generator<InstanceState> {
    for (const table of this.#tables.values()) yield* table.values();
  }

  /** True when it holds for one of the objects; asks no further then. */
  some(holds: (state: InstanceState) => boolean): boolean {
    for (const table of this.#tables.values()) {
      for (const state of table.values()) if (holds(state)) return true;
    }
    return false;
  }

  /** @param visit adds no object, and takes none out */
  forEach(visit: (state: InstanceState) => void): void {
    for (const table of this.#tables.values()) table.forEach(visit);
  }

  get size(): number {
    let size = 0;
    for (const table of this.#tables.values()) size += table.size;
    return size;
  }

  clear(): void {
    if (this.#tables.size > 0) this.#tables.clear();
  }
}
