import type { EntityMapping, RelationMapping } from '../database/entity-mapping.js';
import type { InstanceState } from './instance-state.js';

/** Visits the objects that an object's relations hold. What is not loaded is not there. */
export function forEachRelated(
  mapping: EntityMapping,
  entity: object,
  visit: (related: object, relation: RelationMapping) => void,
): void {
  for (const relation of mapping.relations) {
    if (!relation.persistence) continue;
    const value = relation.get(entity);
    if (typeof value !== 'object' || value === null) continue;
    if (Array.isArray(value)) {
      for (const related of value as unknown[]) {
        if (typeof related === 'object' && related !== null) visit(related, relation);
      }
    } else {
      visit(value, relation);
    }
  }
}

/** What an object's collections held when they were last seen and hold no more: a flush has to let go of it. */
export function* removedObjects({ mapping, entity, relations }: InstanceState): Generator<object> {
  for (const relation of mapping.relations) {
    const seen = relations?.[relation.index];
    if (seen === undefined || relation.isOwningToOne || !relation.persistence) continue;
    const value = relation.get(entity);
    if (value === undefined) continue;
    const now = new Set<unknown>(Array.isArray(value) ? value : [value]);
    const before = seen.isToMany ? seen.items : seen.related === null ? [] : [seen.related];
    for (const item of before) if (!now.has(item)) yield item;
  }
}
