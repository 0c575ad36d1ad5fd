import type { ColumnMapping, EntityMapping } from '../database/entity-mapping.js';
import { InvalidSessionOperationError } from '../errors/session-errors.js';
import { SqlExpression } from '../flush/change-set.js';
import { textParameter } from '../flush/sql/array-parameter.js';
import { bulkValues } from './bulk-values.js';

/** Rows that one INSERT can write: they have values for the same columns, and the same SQL in place of values. */
export interface BulkShape {
  readonly columns: readonly ColumnMapping[];
  /** Of each column, the parameters of all rows. */
  readonly values: unknown[][];
  /** Where each row stands among all that were given. */
  readonly places: number[];
  /** False where SQL stands for a value. */
  readonly isPlain: boolean;
}

/**
 * Sorts rows by their shapes, each shape in the order of its rows.
 * @param place where the first of them stands among all
 */
export function bulkShapes(
  mapping: EntityMapping,
  given: readonly object[],
  place: number,
  operation: string,
): BulkShape[] {
  const insertable = mapping.columns.filter((column) => column.insertable);
  const shapes = new Map<string, BulkShape>();
  let last: BulkShape | null = null;
  const row = new Array<unknown>(mapping.columns.length);
  for (const one of given) {
    newRow(mapping, bulkValues(mapping, one, operation, row));
    if (last === null || !fits(last, row, insertable)) {
      const columns = insertable.filter((column) => row[column.index] !== undefined);
      if (columns.length === 0) throw nothingGiven(mapping, operation);
      const key = columns.map((column) => nameInShape(column, row)).join();
      const isPlain = !columns.some(({ index }) => row[index] instanceof SqlExpression);
      last = shapes.get(key) ?? { columns, values: columns.map(() => []), places: [], isPlain };
      shapes.set(key, last);
    }
    const { columns, values } = last;
    for (let at = 0; at < columns.length; at++) values[at]!.push(row[columns[at]!.index]);
    last.places.push(place++);
  }
  return [...shapes.values()];
}

/**
 * Converts rows, and forgets what comes of it.
 * @throws what `bulkShapes` throws for them
 */
export function checkBulkRows(mapping: EntityMapping, given: readonly object[], operation: string): void {
  const insertable = mapping.columns.filter((column) => column.insertable);
  const row = new Array<unknown>(mapping.columns.length);
  for (const one of given) {
    newRow(mapping, bulkValues(mapping, one, operation, row));
    let isEmpty = true;
    for (const { index } of insertable) {
      const value = row[index];
      if (value === undefined) continue;
      isEmpty = false;
      // All that a parameter may be but a symbol, or an array that holds one: whatever else is no value of the
      // column, the server refuses.
      if (typeof value === 'symbol' || Array.isArray(value)) textParameter(value);
    }
    if (isEmpty) throw nothingGiven(mapping, operation);
  }
}

function nothingGiven(mapping: EntityMapping, operation: string): InvalidSessionOperationError {
  return new InvalidSessionOperationError(`${operation}: a row of ${mapping.name} has no value for any column.`);
}

function nameInShape({ index }: ColumnMapping, values: readonly unknown[]): string | number {
  const value = values[index];
  return value instanceof SqlExpression ? `${index}(${value.sql})` : index;
}

/** True where the row is of the shape for certain: most rows are of the shape of the one before. */
function fits(shape: BulkShape, values: readonly unknown[], insertable: readonly ColumnMapping[]): boolean {
  if (!shape.isPlain) return false;
  const { columns } = shape;
  let at = 0;
  for (const column of insertable) {
    const value = values[column.index];
    if (value === undefined) continue;
    if (columns[at] !== column || value instanceof SqlExpression) return false;
    at += 1;
  }
  return at === columns.length;
}

/** A new row's version starts at 1, and a row of a single-table hierarchy says of which class it is. */
function newRow(mapping: EntityMapping, values: unknown[]): void {
  const { version, discriminator } = mapping;
  if (version !== null) values[version.index] ??= 1;
  if (discriminator !== null) values[discriminator.index] = mapping.discriminatorValue ?? undefined;
}
