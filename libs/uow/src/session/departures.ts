import type { ColumnMapping, RelationMapping } from '../database/entity-mapping.js';
import { ToOneSnapshot } from './instance-state.js';
import type { InstanceState } from './instance-state.js';
import type { UnitOfWork } from './unit-of-work.js';

/**
 * What the deletion of an object means for the objects that refer to it: the database's `ON DELETE` comes first,
 * then `cascade: ['remove']`, and else a foreign key that may be null is set null.
 */
export type DepartureRule = 'database' | 'remove' | 'nullify' | 'unlink' | 'leave';

/** What happens to the objects of a relation when its owner is deleted. */
export function departureRule(relation: RelationMapping): DepartureRule {
  if (!relation.persistence) return 'leave';
  if (relation.isOwningToOne) return relation.cascadeRemove ? 'remove' : 'leave';
  if (relation.kind === 'many-to-many') return relation.cascadeRemove ? 'remove' : 'unlink';
  const { inverse } = relation;
  if (inverse === null) return 'leave';
  if (inverse.onDelete === 'CASCADE' || inverse.onDelete === 'SET NULL' || inverse.onDelete === 'SET DEFAULT') {
    return 'database';
  }
  if (relation.cascadeRemove || inverse.orphanAction === 'delete') return 'remove';
  // Declared so: the database is to refuse.
  if (inverse.onDelete !== undefined) return 'leave';
  return mayBeNull(inverse) ? 'nullify' : 'leave';
}

/** True when an owning relation's foreign key can be set null. */
export function mayBeNull(relation: RelationMapping): boolean {
  return relation.joinColumns.every((column) => column.nullable && !column.isKey);
}

/** The values that foreign keys hold which refer to an object by a relation's inverse side. */
export function referredValues(inverse: RelationMapping, owner: InstanceState): unknown[] {
  return inverse.referencedColumns.map((column) => column.storedParameter(owner.snapshot!));
}

/** The session's objects whose rows refer to some of the given ones, as their rows were last seen. */
export function* knownReferrers(
  unit: UnitOfWork,
  owning: RelationMapping,
  owners: readonly InstanceState[],
): Generator<{ child: InstanceState; relation: RelationMapping; owner: InstanceState }> {
  const byKey = new Map(
    owners.map((owner) => [nameOf(owning.referencedColumns, referredValues(owning, owner)), owner]),
  );
  for (const child of [...unit.identity.statesOf(owning.source)]) {
    const relation = child.mapping.relations.find((one) => one.path === owning.path);
    if (relation === undefined) continue;
    const values = relation.joinColumns.map((column) => column.storedParameter(child.snapshot!));
    if (values.some((value) => value === null || value === undefined)) continue;
    const owner = byKey.get(nameOf(relation.joinColumns, values));
    if (owner !== undefined) yield { child, relation, owner };
  }
}

function nameOf(columns: readonly ColumnMapping[], values: readonly unknown[]): string {
  return columns.map((column, at) => String(column.keyPart(values[at]))).join('\u0000');
}

/**
 * Brings the session's objects up to what the database itself did when rows were deleted: rows that
 * `ON DELETE CASCADE` took along are deleted objects too, foreign keys that were set null are null.
 */
export function followDatabase(unit: UnitOfWork, deleted: readonly InstanceState[]): void {
  let gone = deleted;
  while (gone.length > 0) {
    const next: InstanceState[] = [];
    for (const [relation, owners] of byDatabaseRule(gone)) {
      for (const { child, relation: owning } of knownReferrers(unit, relation.inverse!, owners)) {
        if (owning.onDelete === 'CASCADE') {
          unit.rowDeleted(child);
          next.push(child);
        } else if (owning.onDelete === 'SET NULL') {
          setNull(unit, child, owning);
        } else {
          unit.expire(child);
        }
      }
    }
    gone = next;
  }
}

function byDatabaseRule(states: readonly InstanceState[]): Map<RelationMapping, InstanceState[]> {
  const groups = new Map<RelationMapping, InstanceState[]>();
  for (const state of states) {
    for (const relation of state.mapping.relations) {
      if (departureRule(relation) !== 'database') continue;
      const group = groups.get(relation);
      if (group === undefined) groups.set(relation, [state]);
      else group.push(state);
    }
  }
  return groups;
}

/** Notes on a persistent object that the database has set a foreign key of its row null. */
export function setNull(unit: UnitOfWork, child: InstanceState, relation: RelationMapping): void {
  unit.memory.touch(child);
  const snapshot = [...child.snapshot!];
  for (const column of relation.joinColumns) {
    snapshot[column.index] = null;
    if (column.rawSlot !== -1) snapshot[column.rawSlot] = null;
    if (column.isProperty) column.set(child.entity, null);
  }
  child.snapshot = snapshot;
  if (child.relations?.[relation.index] === undefined) return;
  child.relations = [...child.relations];
  child.relations[relation.index] = new ToOneSnapshot(null);
  relation.set(child.entity, null);
}
