import type { ColumnMapping, EntityMapping } from '../database/entity-mapping.js';
import { CircularDependencyError } from '../errors/flush-errors.js';
import { KeyOfInsert, SqlExpression, UpdateChange, resolved } from './change-set.js';
import type { Change, DeleteChange, DetachChange, InsertChange } from './change-set.js';
import { UpdateStep } from './flush-plan.js';
import type { DeleteStep, DetachStep, FlushPlan, FlushStep, InsertStep } from './flush-plan.js';
import { shapeOf } from './sql/insert-parts.js';
import { NO_CIRCLE } from './table-order.js';
import type { TableOrder } from './table-order.js';
import { dependencyGroups, levels } from './topological-sort.js';
import { uniqueRounds } from './unique-rounds.js';
import type { UniqueRound } from './unique-rounds.js';

/**
 * Puts the changes of one flush in order and into as few statements as there are tables and shapes: for each
 * table, parents first, inserts and then updates; deletes last, children first. Pure: reads no object,
 * sends nothing.
 */
export function planFlush(changes: readonly Change[], order: TableOrder): FlushPlan {
  const stages: Stage[] = [];
  const deletes: DeleteChange[] = [];
  let stage: Stage | null = null;
  for (const change of changes) {
    if (change.kind === 'delete') {
      deletes.push(change);
      continue;
    }
    // Changes of one table follow each other as a rule.
    if (stage?.mapping !== change.mapping) stage = stageOf(change.mapping, stages, order);
    if (change.kind === 'insert') stage.inserts.push(change);
    else if (change.kind === 'update') stage.updates.push(change);
    else stage.detachments.push(change);
  }

  const steps: FlushStep[] = [];
  let late: readonly DeleteChange[] = deletes;
  for (const stage of stages) {
    // A new row may bring the same links.
    for (const detachment of stage.detachments) {
      if (detachment.action === 'delete') steps.push(detachStep(detachment, deletes, []));
    }
    const isCircle = stage.circle !== NO_CIRCLE;
    const rounds = isCircle
      ? null
      : uniqueRounds(stage.inserts, stage.updates, deletableEarly(stage.mapping.table, deletes, stages));
    if (rounds !== null) {
      late = planRounds(rounds, late, order, steps);
      planNullifying(stage, deletes, steps);
      continue;
    }
    const afterwards = planInserts(stage.inserts, isCircle, order, steps);
    planUpdates(stage.updates, deletes, order, steps);
    if (afterwards.length > 0) planUpdates(afterwards, [], order, steps);
    planNullifying(stage, deletes, steps);
  }
  if (late.length > 0) {
    const updates = stages.flatMap((stage) => stage.updates);
    planDeletes(late, updates, order, steps);
  }
  return { steps };
}

/** Deletions that nothing else of the flush has to precede: no row that goes, or is cut off, may refer to them. */
function deletableEarly(
  table: string,
  deletes: readonly DeleteChange[],
  stages: readonly Stage[],
): readonly DeleteChange[] {
  if (deletes.length === 0) return deletes;
  const isReferred = [...deletes, ...stages.flatMap((stage) => stage.detachments)].some(
    ({ mapping }) => mapping.table !== table && mapping.parents.some((parent) => parent.table === table),
  );
  return isReferred ? [] : deletes.filter(({ mapping }) => mapping.table === table);
}

/** Adds rows of one table round by round; gives the deletions that are left for the end. */
function planRounds(
  rounds: readonly UniqueRound[],
  deletes: readonly DeleteChange[],
  order: TableOrder,
  steps: FlushStep[],
): DeleteChange[] {
  const early = new Set(rounds.flatMap((round) => round.deletes));
  const updates = rounds.flatMap((round) => round.updates);
  const unlocked = [...updates, ...early].filter(({ guard }) => !guard.isLocked);
  if (unlocked.length > 1) {
    const keys = new Map(unlocked.map((change) => [change.key.map(String).join('\u0000'), change.key]));
    steps.push({
      kind: 'lock',
      mapping: unlocked[0]!.mapping,
      keys: [...keys.values()],
      reason: 'rows that hand unique values on, locked in key order first',
    });
  }
  for (const round of rounds) {
    pushDeletes(round.deletes, updates, order, steps);
    pushInserts(round.inserts, 'new rows', steps);
    planUpdates(round.updates, [], order, steps);
  }
  return deletes.filter((change) => !early.has(change));
}

/** The changes of one table, or of one circle of tables. */
interface Stage {
  /** The first that was met; in a circle there are others. */
  readonly mapping: EntityMapping;
  readonly rank: number;
  readonly circle: number;
  readonly inserts: InsertChange[];
  readonly updates: UpdateChange[];
  readonly detachments: DetachChange[];
}

/** The stage of a mapping's table among those that there are, in the order of the tables; added where there is none. */
function stageOf(mapping: EntityMapping, stages: Stage[], order: TableOrder): Stage {
  const circle = order.circle(mapping);
  for (const stage of stages) {
    if (circle === NO_CIRCLE ? stage.mapping.table === mapping.table : stage.circle === circle) return stage;
  }
  const stage: Stage = { mapping, rank: order.rank(mapping), circle, inserts: [], updates: [], detachments: [] };
  // Few as a rule: where it belongs is found quicker than they are sorted.
  let at = stages.length;
  while (at > 0 && stages[at - 1]!.rank > stage.rank) at--;
  stages.splice(at, 0, stage);
  return stage;
}

function stageName(mapping: EntityMapping, order: TableOrder): string {
  const circle = order.circle(mapping);
  return circle === NO_CIRCLE ? mapping.table : `circle ${circle}`;
}

/** Behind the updates: a row that went elsewhere is not to be cut off. */
function planNullifying(stage: Stage, deletes: readonly DeleteChange[], steps: FlushStep[]): void {
  for (const detachment of stage.detachments) {
    if (detachment.action === 'delete') continue;
    steps.push(detachStep(detachment, deletes, [...stage.inserts, ...stage.updates]));
  }
}

function detachStep(
  { mapping, action, columns, keys }: DetachChange,
  deletes: readonly DeleteChange[],
  written: readonly (InsertChange | UpdateChange)[],
): DetachStep {
  const except: (readonly unknown[])[] = [];
  // A versioned row that is deleted is expected as it was read.
  if (action === 'nullify' && mapping.version !== null) {
    for (const change of deletes) if (change.mapping.table === mapping.table) except.push(change.key);
  }
  // A new object may have taken over the key of the deleted one: what refers to the new one stays.
  const gone = new Set(keys.map((key) => key.map(String).join('\u0000')));
  for (const change of written) {
    if (change.mapping.table !== mapping.table) continue;
    const key = columns.map((column) => String(resolved(givenValue(change, column))));
    if (gone.has(key.join('\u0000'))) except.push(keyOfRow(change));
  }
  const reason = action === 'delete' ? 'links to deleted rows' : 'rows that referred to deleted ones';
  return { kind: 'detach', mapping, action, columns, keys, except, reason };
}

function givenValue(change: InsertChange | UpdateChange, { name }: ColumnMapping): unknown {
  if (change.kind === 'update') return change.values[change.columns.findIndex((column) => column.name === name)];
  return change.values[change.mapping.columns.find((column) => column.name === name)?.index ?? -1];
}

function keyOfRow(change: InsertChange | UpdateChange): readonly unknown[] {
  if (change.kind === 'update') return change.key;
  return change.mapping.keyColumns.map((column) => change.values[column.index] ?? change.keyOf(column));
}

/** Adds the insert steps; gives the updates that set foreign keys which had to be left out to break a circle. */
function planInserts(
  inserts: readonly InsertChange[],
  isCircle: boolean,
  order: TableOrder,
  steps: FlushStep[],
): UpdateChange[] {
  if (inserts.length === 0) return [];
  if (!isCircle) {
    pushInserts(inserts, 'new rows', steps);
    return [];
  }
  const positions = new Map(inserts.map((insert, at) => [insert, at]));
  const afterwards = breakCircles(inserts, positions);
  const level = levels(inserts.length, (at) => neededBy(inserts[at]!, positions)) ?? [];
  const depth = Math.max(0, ...level);
  for (let at = 0; at <= depth; at++) {
    const rows = inserts.filter((_, index) => (level[index] ?? 0) === at);
    rows.sort((a, b) => order.rank(a.mapping) - order.rank(b.mapping));
    pushInserts(rows, at === 0 ? 'new rows' : `new rows, level ${at + 1} of those that refer to each other`, steps);
  }
  return afterwards;
}

/** Positions of the rows whose keys a row holds. A row that refers to itself with a known key needs nothing. */
function neededBy(insert: InsertChange, positions: ReadonlyMap<InsertChange, number>): number[] {
  const needed: number[] = [];
  for (const value of insert.values) {
    if (!(value instanceof KeyOfInsert)) continue;
    const at = positions.get(value.insert);
    if (at === undefined || (value.insert === insert && value.value() !== undefined)) continue;
    needed.push(at);
  }
  return needed;
}

/** Leaves nullable foreign keys out of inserts until no circle is left, and sets them by updates afterwards. */
function breakCircles(inserts: readonly InsertChange[], positions: ReadonlyMap<InsertChange, number>): UpdateChange[] {
  const afterwards: UpdateChange[] = [];
  for (;;) {
    const circle = dependencyGroups(inserts.length, (at) => neededBy(inserts[at]!, positions)).find(
      (group) => group.length > 1 || neededBy(inserts[group[0]!]!, positions).includes(group[0]!),
    );
    if (circle === undefined) return afterwards;
    const members = new Set(circle.map((at) => inserts[at]!));
    const broken = breakOne(members);
    if (broken === null) {
      const names = [...new Set([...members].map((member) => member.mapping.name))];
      throw new CircularDependencyError(
        `New rows of ${names.join(' and ')} refer to each other in a circle, and no foreign key in it may be null. Make one of them nullable, or add the rows in two flushes.`,
      );
    }
    afterwards.push(broken);
  }
}

function breakOne(members: ReadonlySet<InsertChange>): UpdateChange | null {
  for (const member of members) {
    for (const column of member.mapping.columns) {
      const value = member.values[column.index];
      if (!(value instanceof KeyOfInsert) || !members.has(value.insert) || !column.nullable || column.isKey) continue;
      member.values[column.index] = null;
      (member.later ??= [])[column.index] = value;
      const key = member.mapping.keyColumns.map((keyColumn) => {
        const part = member.values[keyColumn.index];
        return part === undefined ? member.keyOf(keyColumn) : part;
      });
      return new UpdateChange(member.mapping, null, key, [column], [value], {
        columns: [],
        values: [],
        isLocked: true,
        mustExist: true,
      });
    }
  }
  return null;
}

/** Rows of one shape share a statement; within it the order of `add` stays. */
function pushInserts(inserts: readonly InsertChange[], reason: string, steps: FlushStep[]): void {
  for (const changes of groupBy(inserts, insertShape, sameInsertShape)) {
    const step: InsertStep = { kind: 'insert', mapping: changes[0]!.mapping, changes, reason };
    steps.push(step);
  }
}

function insertShape({ mapping, values }: InsertChange): string {
  return `${mapping.name}/${shapeOf(values)}`;
}

function sameInsertShape(a: InsertChange, b: InsertChange): boolean {
  if (a.mapping !== b.mapping) return false;
  for (let at = 0; at < a.values.length; at++) {
    const left = a.values[at];
    const right = b.values[at];
    if ((left === undefined) !== (right === undefined)) return false;
    if (left instanceof SqlExpression || right instanceof SqlExpression) return false;
  }
  return true;
}

function planUpdates(
  updates: readonly UpdateChange[],
  deletes: readonly DeleteChange[],
  order: TableOrder,
  steps: FlushStep[],
): void {
  const tables = groupBy(updates, tableOf, sameMapping);
  if (tables.length > 1) tables.sort((a, b) => order.rank(a[0]!.mapping) - order.rank(b[0]!.mapping));
  for (const rows of tables) {
    const shapes = groupBy(rows, updateShape, sameUpdateShape);
    const { mapping } = rows[0]!;
    const toDelete = deletes.length === 0 ? [] : deletes.filter((change) => change.mapping.table === mapping.table);
    const isOneStatement = shapes.length === 1 && toDelete.length === 0;
    const unlocked = isOneStatement ? [] : [...rows, ...toDelete].filter(isUnlocked);
    const needsLockStep = unlocked.length > 1;
    if (needsLockStep) {
      steps.push({
        kind: 'lock',
        mapping,
        keys: unlocked.map((change) => change.key),
        reason: 'rows that several statements write, locked in key order first',
      });
    }
    for (const changes of shapes) {
      const locks = !needsLockStep && changes.length > 1 && changes.some(isUnlocked);
      steps.push(new UpdateStep(changes[0]!.mapping, changes, locks));
    }
  }
}

function isUnlocked({ guard }: UpdateChange | DeleteChange): boolean {
  return !guard.isLocked;
}

function tableOf({ mapping }: UpdateChange): string {
  return mapping.table;
}

function sameMapping(a: UpdateChange, b: UpdateChange): boolean {
  return a.mapping === b.mapping;
}

function updateShape(update: UpdateChange): string {
  const { guard } = update;
  return [
    update.mapping.name,
    update.columns
      .map((column, at) => {
        const value = update.values[at];
        return value instanceof SqlExpression ? `${column.index}(${value.sql})` : column.index;
      })
      .join(),
    guard.columns.map((column) => column.index).join(),
    guard.version === undefined ? '' : 'v',
    guard.mustExist ? 'e' : '',
  ].join('/');
}

function sameUpdateShape(a: UpdateChange, b: UpdateChange): boolean {
  return (
    a.mapping === b.mapping &&
    sameMembers(a.columns, b.columns) &&
    sameMembers(a.guard.columns, b.guard.columns) &&
    (a.guard.version === undefined) === (b.guard.version === undefined) &&
    a.guard.mustExist === b.guard.mustExist &&
    !a.values.some(isExpression) &&
    !b.values.some(isExpression)
  );
}

function isExpression(value: unknown): boolean {
  return value instanceof SqlExpression;
}

function sameMembers(a: readonly unknown[], b: readonly unknown[]): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false;
  return true;
}

function planDeletes(
  deletes: readonly DeleteChange[],
  updates: readonly UpdateChange[],
  order: TableOrder,
  steps: FlushStep[],
): void {
  const stages = groupBy(deletes, ({ mapping }) => stageName(mapping, order));
  stages.sort((a, b) => order.rank(b[0]!.mapping) - order.rank(a[0]!.mapping));
  for (const stage of stages) {
    const tables = new Set(stage.map(({ mapping }) => mapping.table));
    // Within one table a single statement is enough: the server checks the references at its end.
    const rounds = tables.size === 1 ? [stage] : deleteRounds(stage, order, steps);
    for (const round of rounds) pushDeletes(round, updates, order, steps);
  }
}

function pushDeletes(
  deletes: readonly DeleteChange[],
  updates: readonly UpdateChange[],
  order: TableOrder,
  steps: FlushStep[],
): void {
  const groups = groupBy(deletes, deleteShape);
  groups.sort((a, b) => order.rank(b[0]!.mapping) - order.rank(a[0]!.mapping));
  for (const changes of groups) {
    const { mapping } = changes[0]!;
    const lockedBefore = updates.some((update) => update.mapping.table === mapping.table);
    const step: DeleteStep = {
      kind: 'delete',
      mapping,
      changes,
      locks: !lockedBefore && changes.length > 1 && changes.some((change) => !change.guard.isLocked),
      reason: 'deleted',
    };
    steps.push(step);
  }
}

/** Rows of tables that refer to each other, in an order in which each goes before what it refers to; references in a circle are set null first. */
function deleteRounds(deletes: readonly DeleteChange[], order: TableOrder, steps: FlushStep[]): DeleteChange[][] {
  const positions = new Map(deletes.map((change, at) => [change, at]));
  const edges = deletes.map((change) =>
    change.references.flatMap((reference) => {
      const to = positions.get(reference.to);
      return to === undefined || reference.to === change ? [] : [{ to, columns: reference.columns }];
    }),
  );
  const outgoing = (at: number): number[] => edges[at]!.map(({ to }) => to);
  const broken: UpdateChange[] = [];
  for (;;) {
    const circle = dependencyGroups(deletes.length, outgoing).find((group) => group.length > 1);
    if (circle === undefined) break;
    const members = new Set(circle);
    const candidates = circle.flatMap((from) =>
      edges[from]!.flatMap((edge) =>
        members.has(edge.to) && edge.columns.every((column) => column.nullable && !column.isKey)
          ? [{ from, edge }]
          : [],
      ),
    );
    if (candidates.length === 0) {
      const names = [...new Set(circle.map((at) => deletes[at]!.mapping.name))];
      throw new CircularDependencyError(
        `Rows of ${names.join(' and ')} that are to be deleted refer to each other in a circle, and no foreign key in it may be null. Make one of them nullable, or its constraint deferrable, or delete them in two flushes.`,
      );
    }
    // All references of one column at once: one statement opens the circle wherever it goes through that column.
    const [first] = candidates;
    for (const { from, edge } of candidates) {
      const change = deletes[from]!;
      if (change.mapping !== deletes[first!.from]!.mapping || edge.columns[0] !== first!.edge.columns[0]) continue;
      edges[from] = edges[from]!.filter((other) => other !== edge);
      broken.push(
        new UpdateChange(
          change.mapping,
          null,
          change.key,
          edge.columns,
          edge.columns.map(() => null),
          {
            columns: [],
            values: [],
            isLocked: change.guard.isLocked,
            mustExist: false,
          },
        ),
      );
    }
  }
  planUpdates(broken, [], order, steps);
  const depths = levels(deletes.length, outgoing) ?? [];
  const rounds: DeleteChange[][] = [];
  deletes.forEach((change, at) => (rounds[depths[at] ?? 0] ??= []).push(change));
  return rounds.reverse();
}

function deleteShape({ mapping, guard }: DeleteChange): string {
  return [
    mapping.table,
    guard.columns.map((column: ColumnMapping) => column.index).join(),
    guard.version === undefined ? '' : 'v',
    guard.mustExist ? 'e' : '',
  ].join('/');
}

/**
 * @param alike true where two items surely have one key: items of one group mostly follow each other, and to make a
 * key for each of them would cost more than to look
 */
function groupBy<T>(items: readonly T[], key: (item: T) => string, alike: (a: T, b: T) => boolean = neverAlike): T[][] {
  if (items.length === 0) return [];
  const first = items[0]!;
  const start: T[] = [first];
  const groups = [start];
  // A key is needed from the second group on only.
  let names: Map<string, T[]> | null = null;
  let last = start;
  for (let at = 1; at < items.length; at++) {
    const item = items[at]!;
    if (alike(last[0]!, item)) {
      last.push(item);
      continue;
    }
    names ??= new Map([[key(first), start]]);
    const name = key(item);
    const group = names.get(name);
    if (group !== undefined) {
      (last = group).push(item);
      continue;
    }
    groups.push((last = [item]));
    names.set(name, last);
  }
  return groups;
}

function neverAlike(): boolean {
  return false;
}
