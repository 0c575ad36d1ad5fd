import type { ColumnMapping, EntityMapping } from '../../database/entity-mapping.js';
import { resolved } from '../change-set.js';
import type { DeleteChange, UpdateChange } from '../change-set.js';
import { arrayParameter } from './array-parameter.js';

/** The keys of many rows, an array for each key column. */
export function keyArrays(mapping: EntityMapping, keys: readonly (readonly unknown[])[]): unknown[] {
  return mapping.keyColumns.map((column, at) =>
    arrayParameter(
      column,
      keys.map((key) => resolved(key[at])),
    ),
  );
}

/** What must still hold of many rows, an array for the version, where it is checked, and for each checked column. */
export function guardArrays(
  version: ColumnMapping | null,
  changes: readonly (DeleteChange | UpdateChange)[],
): unknown[] {
  const checked = changes[0]!.guard.columns.map((column, at) =>
    arrayParameter(
      column,
      changes.map((change) => change.guard.values[at]),
    ),
  );
  if (version === null) return checked;
  return [
    arrayParameter(
      version,
      changes.map((change) => change.guard.version),
    ),
    ...checked,
  ];
}
