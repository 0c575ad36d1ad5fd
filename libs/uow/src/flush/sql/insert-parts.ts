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

/** What an insert of one shape names and asks for. */
export interface InsertParts {
  readonly shape: string;
  /** Columns that the insert names. */
  readonly given: readonly ColumnMapping[];
  /** Columns whose values only the database knows: those left out, and expressions. */
  readonly answered: readonly ColumnMapping[];
  /** Key columns that are left out. */
  readonly missingKeys: readonly ColumnMapping[];
}

const parts = new WeakMap<EntityMapping, Map<string, InsertParts>>();

/** The parts of an insert; found once for each shape. */
export function insertParts({ mapping, values }: InsertChange): InsertParts {
  let known = parts.get(mapping);
  if (known === undefined) parts.set(mapping, (known = new Map<string, InsertParts>()));
  const shape = shapeOf(values);
  let found = known.get(shape);
  if (found === undefined) {
    const { columns, keyColumns } = mapping;
    found = {
      shape,
      given: columns.filter(({ index }) => values[index] !== undefined),
      answered: columns.filter(({ index }) => values[index] === undefined || values[index] instanceof SqlExpression),
      missingKeys: keyColumns.filter(({ index }) => values[index] === undefined),
    };
    known.set(shape, found);
  }
  return found;
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
