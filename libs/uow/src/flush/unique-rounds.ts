import type { ColumnMapping, UniqueKey } from '../database/entity-mapping.js';
import { UniqueCycleError } from '../errors/flush-errors.js';
import { RowGuard, UpdateChange, resolved } from './change-set.js';
import type { Change, DeleteChange, InsertChange } from './change-set.js';
import { dependencyGroups, levels } from './topological-sort.js';

/**
 * Rows of one table that hand values of a unique constraint on: whoever gives a value up has to be written, in a
 * statement of its own, before whoever takes it, because the server checks each row at once. Pure.
 */

/** What may be written together, in the order of the rounds. */
export interface UniqueRound {
  readonly inserts: InsertChange[];
  readonly updates: UpdateChange[];
  readonly deletes: DeleteChange[];
}

/**
 * @param deletes deletions of the table that may come before everything else
 * @returns null where no row takes a value that another gives up
 * @throws UniqueCycleError when rows exchange values, and no column of the constraint may be null meanwhile
 */
export function uniqueRounds(
  inserts: readonly InsertChange[],
  updates: readonly UpdateChange[],
  deletes: readonly DeleteChange[],
): UniqueRound[] | null {
  const mapping = (inserts[0] ?? updates[0])?.mapping;
  if (mapping === undefined || mapping.uniqueKeys.length === 0) return null;
  const keys = mapping.uniqueKeys.filter((key) => !key.isDeferrable);
  const touches = ({ columns }: UpdateChange): boolean =>
    keys.some((key) => key.columns.some((column) => columns.includes(column)));
  if (keys.length === 0 || (deletes.length === 0 && !updates.some(touches))) return null;
  const nodes: Change[] = [...updates, ...deletes, ...inserts];
  const needs: { to: number; key: UniqueKey }[][] = nodes.map(() => []);
  for (const key of keys) {
    const givenUp = new Map<string, number>();
    nodes.forEach((node, at) => {
      const value = valueGivenUp(node, key);
      if (value !== null) givenUp.set(value, at);
    });
    if (givenUp.size === 0) continue;
    nodes.forEach((node, at) => {
      const value = valueTaken(node, key);
      const from = value === null ? undefined : givenUp.get(value);
      if (from === undefined || from === at) return;
      needs[at]!.push({ to: from, key });
    });
  }
  if (needs.every((edges) => edges.length === 0)) return null;

  const emptied = breakCircles(nodes, needs);
  const level = levels(nodes.length, (at) => needs[at]!.map(({ to }) => to)) ?? [];
  const rounds: UniqueRound[] = [];
  const round = (at: number): UniqueRound => (rounds[at] ??= { inserts: [], updates: [], deletes: [] });
  if (emptied.length > 0) round(0).updates.push(...emptied);
  const first = emptied.length > 0 ? 1 : 0;
  const needed = new Set(needs.flatMap((edges) => edges.map(({ to }) => to)));
  nodes.forEach((node, at) => {
    // A deletion that nobody waits for keeps its place at the end.
    if (node.kind === 'delete' && !needed.has(at)) return;
    const own = round(first + (level[at] ?? 0));
    if (node.kind === 'insert') own.inserts.push(node);
    else if (node.kind === 'update') own.updates.push(node);
    else if (node.kind === 'delete') own.deletes.push(node);
  });
  return rounds;
}

/** The value that a row has now and will not have afterwards. */
function valueGivenUp(node: Change, key: UniqueKey): string | null {
  if ((node.kind !== 'delete' && node.kind !== 'update') || node.before === null) return null;
  if (node.kind === 'update' && !key.columns.some((column) => node.columns.includes(column))) return null;
  const { before } = node;
  return nameOf(key.columns, (column) => column.storedParameter(before));
}

/** The value that a row will have and has not now. */
function valueTaken(node: Change, key: UniqueKey): string | null {
  if (node.kind === 'insert') return nameOf(key.columns, (column) => resolved(node.values[column.index]));
  if (node.kind !== 'update' || node.before === null) return null;
  if (!key.columns.some((column) => node.columns.includes(column))) return null;
  const { before } = node;
  return nameOf(key.columns, (column) => {
    const at = node.columns.indexOf(column);
    return at === -1 ? column.storedParameter(before) : resolved(node.values[at]);
  });
}

/** Null where a part is null or unknown: such a row is never a duplicate. */
function nameOf(columns: readonly ColumnMapping[], valueOf: (column: ColumnMapping) => unknown): string | null {
  let name = '';
  for (const column of columns) {
    const value = valueOf(column);
    if (value === null || value === undefined || typeof value === 'object') return null;
    const part = String(column.keyPart(value));
    name += `${part.length}:${part};`;
  }
  return name;
}

/** Rows that exchange values: one of them is set null first, where a column of the constraint may be. */
function breakCircles(nodes: readonly Change[], needs: { to: number; key: UniqueKey }[][]): UpdateChange[] {
  const emptied: UpdateChange[] = [];
  for (;;) {
    const circle = dependencyGroups(nodes.length, (at) => needs[at]!.map(({ to }) => to)).find(
      (group) => group.length > 1,
    );
    if (circle === undefined) return emptied;
    const members = new Set(circle);
    let isBroken = false;
    for (const at of circle) {
      const edge = needs[at]!.find(({ to }) => members.has(to));
      const giver = edge === undefined ? undefined : nodes[edge.to];
      const column = edge?.key.columns.find((one) => one.nullable && !one.isKey);
      if (giver?.kind !== 'update' || column === undefined) continue;
      // The row is checked when it is emptied; afterwards it is this flush's own.
      emptied.push(new UpdateChange(giver.mapping, null, giver.key, [column], [null], giver.guard));
      giver.guard = new RowGuard([], [], true, giver.guard.mustExist, giver.guard.version);
      const { to } = edge!;
      // Its value is free from the start now, for everybody.
      for (const others of needs) {
        for (let index = others.length - 1; index >= 0; index--) {
          if (others[index]!.to === to && others[index]!.key === edge!.key) others.splice(index, 1);
        }
      }
      isBroken = true;
      break;
    }
    if (isBroken) continue;
    const { mapping } = nodes[circle[0]!]!;
    const [edge] = needs[circle[0]!]!;
    throw new UniqueCycleError(
      `${circle.length} rows of ${mapping.name} exchange their values of ${edge!.key.columns.map(({ path }) => path).join(', ')}, which must be unique and may not be null, so that none can be written first. Make the constraint deferrable, or take a third value between two flushes.`,
    );
  }
}
