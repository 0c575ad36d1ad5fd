import type { RelationMapping } from '../database/entity-mapping.js';
import type { InstanceState, RelationSnapshot } from './instance-state.js';
import type { UnitOfWork } from './unit-of-work.js';

/** What is known of relations: as a snapshot keeps them, and as foreign keys say. */

/** A relation's value as a snapshot keeps it. */
export function snapshotOfRelation(relation: RelationMapping, value: unknown): RelationSnapshot {
  return relation.isToMany
    ? { isToMany: true, array: value as object[], items: [...(value as object[])] }
    : { isToMany: false, related: value as object | null };
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
