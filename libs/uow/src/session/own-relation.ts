import type { EntityMapping, RelationMapping } from '../database/entity-mapping.js';

/**
 * A relation as an object's own class has it. The other side of a relation leads to the class that it names; in a
 * single-table hierarchy the object may be a child of that, with columns and relations in places of its own.
 */
export function ownRelation(mapping: EntityMapping, relation: RelationMapping): RelationMapping {
  if (relation.source === mapping) return relation;
  return mapping.relations.find((one) => one.path === relation.path) ?? relation;
}
