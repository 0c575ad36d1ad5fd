import type { EntityMapping } from '../database/entity-mapping.js';

/** The objects that an object's relations hold. What is not loaded is not there. */
export function* relatedObjects(mapping: EntityMapping, entity: object): Generator<object> {
  for (const relation of mapping.relations) {
    if (!relation.persistence) continue;
    const value = relation.get(entity);
    if (typeof value !== 'object' || value === null) continue;
    if (Array.isArray(value)) {
      for (const item of value as unknown[]) if (typeof item === 'object' && item !== null) yield item;
    } else {
      yield value;
    }
  }
}
