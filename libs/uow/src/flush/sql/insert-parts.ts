import type { ColumnMapping, EntityMapping } from '../../database/entity-mapping.js';
import { FlushError } from '../../errors/flush-errors.js';
import { SqlExpression } from '../change-set.js';
import type { InsertChange } from '../change-set.js';

/** The database has not stored every row that it was sent. */
export function notInserted(mapping: EntityMapping, sent: number, reported: number, cause: unknown): FlushError {
  return new FlushError(
    `INSERT INTO ${mapping.table} was sent for ${sent} row(s), and the database reports ${reported} row(s). A trigger, a rule or row-level security swallowed some of them; set confirmRows: false for ${mapping.name} if that is meant.`,
    { cause },
  );
}

/** Columns that the insert names. */
export function givenColumns(mapping: EntityMapping, change: InsertChange): ColumnMapping[] {
  return mapping.columns.filter((column) => change.values[column.index] !== undefined);
}

/** Columns whose values only the database knows: those left out, and expressions. */
export function answeredColumns(mapping: EntityMapping, change: InsertChange): ColumnMapping[] {
  return mapping.columns.filter((column) => {
    const value = change.values[column.index];
    return value === undefined || value instanceof SqlExpression;
  });
}

/** Which columns an insert gives, and by what SQL: rows of one shape share a text. */
export function shapeOf(values: readonly unknown[]): string {
  let shape = '';
  for (const value of values)
    shape += value === undefined ? '0' : value instanceof SqlExpression ? `(${value.sql})` : '1';
  return shape;
}

export function sqlNames(columns: readonly ColumnMapping[]): string {
  return columns.map((column) => column.sql).join(', ');
}

export function overriding(columns: readonly ColumnMapping[]): string {
  return columns.some((column) => column.generatedAlways) ? ' OVERRIDING SYSTEM VALUE' : '';
}
