import type { EntityMapping, EntityMappings } from '../database/entity-mapping.js';
import { dependencyGroups } from './topological-sort.js';

/** What `TableOrder.circle` says of most tables. */
export const NO_CIRCLE = -1;

/**
 * The one order in which every flush of a data source takes its tables: those that foreign keys refer to
 * before those that refer. Tables that refer to each other in a circle stand together; there the rows
 * themselves are ordered.
 */
export class TableOrder {
  readonly #ranks = new Map<string, number>();
  readonly #circles = new Map<string, number>();

  constructor(mappings: readonly EntityMapping[]) {
    const tables = [...new Set(mappings.map((mapping) => mapping.table))].sort();
    const indexes = new Map(tables.map((table, index) => [table, index]));
    const parents: number[][] = tables.map(() => []);
    for (const mapping of mappings) {
      const own = parents[indexes.get(mapping.table)!]!;
      for (const parent of mapping.parents) {
        const index = indexes.get(parent.table);
        if (index !== undefined && !own.includes(index)) own.push(index);
      }
    }
    let rank = 0;
    dependencyGroups(tables.length, (table) => parents[table]!).forEach((group, circle) => {
      for (const table of group) {
        this.#ranks.set(tables[table]!, rank++);
        if (group.length > 1 || parents[table]!.includes(table)) this.#circles.set(tables[table]!, circle);
      }
    });
  }

  /** Place of the mapping's table. */
  rank(mapping: EntityMapping): number {
    return this.#ranks.get(mapping.table) ?? Number.MAX_SAFE_INTEGER;
  }

  /** The circle that the mapping's table is in; NO_CIRCLE in none. A table that refers to itself is one. */
  circle(mapping: EntityMapping): number {
    return this.#circles.get(mapping.table) ?? NO_CIRCLE;
  }
}

const orders = new WeakMap<readonly EntityMapping[], TableOrder>();

/** The order of a data source's tables, made on first use. */
export function tableOrderOf(mappings: EntityMappings): TableOrder {
  const all = mappings.all;
  let order = orders.get(all);
  if (order === undefined) orders.set(all, (order = new TableOrder(all)));
  return order;
}
