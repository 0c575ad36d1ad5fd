import type { RelationMapping } from '../database/entity-mapping.js';
import { ToManySnapshot, ToOneSnapshot } from './instance-state.js';
import type { InstanceState, RelationSnapshot } from './instance-state.js';
import type { PhysicalTransaction } from '../transaction/physical-transaction.js';
import type { UnitOfWork } from './unit-of-work.js';

/** What is known of relations: as a snapshot keeps them, and as foreign keys say. */

/** A relation's value as a snapshot keeps it. */
export function snapshotOfRelation(
  relation: RelationMapping,
  value: unknown,
  seenIn: PhysicalTransaction | null = null,
): RelationSnapshot {
  return relation.isToMany
    ? new ToManySnapshot(value as object[], (value as object[]).slice(), seenIn)
    : new ToOneSnapshot(value as object | null, seenIn);
}

/** The object that an owning relation's foreign key refers to: null for none, undefined when it is not loaded. */
export function referredObject(
  unit: UnitOfWork,
  state: InstanceState,
  relation: RelationMapping,
): object | null | undefined {
  const stored = relation.joinColumns.map((column) => column.storedParameter(state.snapshot!));
  if (stored.some((value) => value === null)) return null;
  if (stored.some((value) => value === undefined)) return undefined;
  const { keyColumns } = relation.target;
  const key = keyColumns.map((column) => stored[relation.referencedColumns.indexOf(column)]);
  if (key.length !== stored.length || key.some((value) => value === undefined)) return undefined;
  return unit.identity.get(relation.target, relation.target.keyOfStored(key))?.entity;
}

/** The object that an owning relation led to before it was changed, loaded or not; null for none in the session. */
export function formerObject(unit: UnitOfWork, state: InstanceState, relation: RelationMapping): object | null {
  const seen = state.relations?.[relation.index];
  if (seen !== undefined) return seen.isToMany ? null : seen.related;
  const known = referredObject(unit, state, relation);
  if (known !== undefined) return known;
  if (relation.referencedColumns.every((column) => relation.target.keyColumns.includes(column))) return null;
  for (const candidate of unit.identity.statesOf(relation.target)) {
    if (refersTo(state, relation, candidate)) return candidate.entity;
  }
  return null;
}

/** True when a row's foreign key, as it was last seen, refers to a row. */
export function refersTo(state: InstanceState, relation: RelationMapping, to: InstanceState): boolean {
  return relation.joinColumns.every((column, at) => {
    const referenced = relation.referencedColumns[at]!;
    const value = column.storedParameter(state.snapshot!);
    const key = referenced.storedParameter(to.snapshot!);
    if (value === null || value === undefined || key === null || key === undefined) return false;
    return column.keyPart(value) === referenced.keyPart(key);
  });
}
