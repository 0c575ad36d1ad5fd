import type { ColumnMapping, EntityMapping, RelationMapping } from '../database/entity-mapping.js';
import { InvalidSessionOperationError } from '../errors/session-errors.js';
import { SqlExpression } from '../flush/change-set.js';
import { stateOf } from './instance-state.js';
import { unsendable } from './unsendable-value.js';

/**
 * The parameters of a plain object of properties, by column index: undefined where it says nothing. Relations that
 * hold the foreign key may be given as an object or null; a function is SQL in place of a value, as in TypeORM.
 * @param values where they go
 * @throws InvalidSessionOperationError for a property that is not mapped, and for a value that its column cannot store
 */
export function bulkValues(
  mapping: EntityMapping,
  given: object,
  operation: string,
  values: unknown[] = new Array<unknown>(mapping.columns.length),
): unknown[] {
  const { names, columns, relations } = writtenOf(mapping);
  // Inherited ones are met, too, but no list is made for each row.
  for (const name in given) {
    if (names.has(name) || !Object.hasOwn(given, name)) continue;
    if ((given as Record<string, unknown>)[name] === undefined) continue;
    throw new InvalidSessionOperationError(
      `${operation}: ${mapping.name} has no column or owning relation "${name}"; collections are not written in bulk.`,
    );
  }
  values.fill(undefined);
  for (const column of columns) {
    const value = column.get(given);
    if (value === undefined) continue;
    try {
      values[column.index] = parameterOf(column, value);
    } catch (cause) {
      throw new InvalidSessionOperationError(unsendable(`${operation}: ${mapping.name}.${column.path}`, cause), {
        cause,
      });
    }
  }
  for (const relation of relations) {
    const related = relation.get(given);
    if (related === undefined) continue;
    relation.joinColumns.forEach((column, at) => {
      values[column.index] = related === null ? null : keyOf(relation, at, related, operation);
    });
  }
  return values;
}

/** What of an entity can be written in bulk; looked up once for each, not for each row. */
interface WrittenProperties {
  /** What an object may say, by the first part of its path. */
  readonly names: ReadonlySet<string>;
  readonly columns: readonly ColumnMapping[];
  readonly relations: readonly RelationMapping[];
}

const written = new WeakMap<EntityMapping, WrittenProperties>();

function writtenOf(mapping: EntityMapping): WrittenProperties {
  let known = written.get(mapping);
  if (known === undefined) {
    const columns = mapping.columns.filter((column) => column.isProperty);
    const relations = mapping.relations.filter((relation) => relation.isOwningToOne);
    const names = new Set([...columns, ...relations].map(({ path }) => path.split('.')[0]!));
    known = { names, columns, relations };
    written.set(mapping, known);
  }
  return known;
}

function parameterOf(column: ColumnMapping, value: unknown): unknown {
  if (typeof value === 'function') return new SqlExpression(String((value as () => unknown)()));
  return column.toParameter(value);
}

function keyOf(relation: RelationMapping, at: number, related: unknown, operation: string): unknown {
  const referenced = relation.referencedColumns[at]!;
  let key: unknown;
  if (typeof related === 'object') {
    const snapshot = stateOf(related!)?.snapshot;
    const value = referenced.get(related!);
    key =
      value !== undefined
        ? referenced.toParameter(value)
        : snapshot == null
          ? undefined
          : referenced.storedParameter(snapshot);
  } else {
    key = referenced.toParameter(related);
  }
  if (key !== undefined && key !== null) return key;
  throw new InvalidSessionOperationError(
    `${operation}: ${relation.path} refers to ${relation.target.name}, whose ${referenced.path} is not known. Flush that object first.`,
  );
}
