import type { ColumnMapping, EntityMapping } from '../database/entity-mapping.js';
import type { Statement } from '../database/statement.js';
import { InvalidSessionOperationError } from '../errors/session-errors.js';
import { bulkInsertOne, bulkInsertReturning, bulkInsertStatement } from '../flush/sql/bulk.js';
import type { ConflictRule } from '../flush/sql/bulk.js';
import { bulkShapes, checkBulkRows } from './bulk-shapes.js';
import type { BulkShape } from './bulk-shapes.js';
import type { BulkInsertOptions } from './bulk.js';

/**
 * The server holds the rows of a statement: so many stay in memory. Where existing rows are written over, all are in
 * one: the server refuses to write a row twice only within a statement.
 */
const ROWS_PER_STATEMENT = 10_000;

/** What comes of so many slices is kept: it is what is sent first. */
const SLICES_AHEAD = 5;

/** An INSERT, and where its rows stand among all that were given, if they are to come back. */
export interface PlacedInsert {
  readonly statement: Statement;
  readonly places: readonly number[];
}

const NO_PLACES: readonly number[] = [];

/**
 * The statements of a bulk insert, made slice by slice while others are on their way. All rows are converted once when
 * this is made: a value that cannot be is found before anything is sent. What comes of it is kept only of the first
 * slices, and where a transformer of the application has made it; else a million rows would be held twice.
 */
export class InsertSlices implements Iterable<readonly PlacedInsert[]> {
  readonly #mapping: EntityMapping;
  readonly #rows: readonly object[];
  readonly #options: BulkInsertOptions;
  readonly #operation: string;
  readonly #most: number;
  /** By slice: null for one that has to be converted again. */
  readonly #kept: (readonly PlacedInsert[] | null)[] = [];

  /** @throws InvalidSessionOperationError for a row that cannot be written */
  constructor(mapping: EntityMapping, rows: readonly object[], options: BulkInsertOptions, operation: string) {
    this.#mapping = mapping;
    this.#rows = rows;
    this.#options = options;
    this.#operation = operation;
    this.#most = mayUpdate(options) ? rows.length : ROWS_PER_STATEMENT;
    const isTransformed = mapping.columns.some(({ rawSlot }) => rawSlot !== -1);
    for (let from = 0; from < rows.length; from += this.#most) {
      if (isTransformed || this.#kept.length < SLICES_AHEAD) {
        this.#kept.push(this.#insertsOf(from));
      } else {
        checkBulkRows(mapping, this.#slice(from), operation);
        this.#kept.push(null);
      }
    }
  }

  *[Symbol.iterator](): Generator<readonly PlacedInsert[]> {
    for (let at = 0; at < this.#kept.length; at++) {
      const inserts = this.#kept[at] ?? this.#insertsOf(at * this.#most);
      this.#kept[at] = null;
      yield inserts;
    }
  }

  #slice(from: number): readonly object[] {
    return this.#rows.length <= this.#most ? this.#rows : this.#rows.slice(from, from + this.#most);
  }

  #insertsOf(from: number): PlacedInsert[] {
    return bulkShapes(this.#mapping, this.#slice(from), from, this.#operation).flatMap((shape) => {
      const conflict = conflictRule(this.#mapping, shape.columns, this.#options, this.#operation);
      return insertsOf(this.#mapping, shape, conflict, this.#options.returning === true);
    });
  }
}

/** A statement for a shape; one for each row where its place in the answer could not be told otherwise. */
function insertsOf(
  mapping: EntityMapping,
  { columns, values, places }: BulkShape,
  conflict: ConflictRule | null,
  isReturning: boolean,
): PlacedInsert[] {
  if (!isReturning) return [{ statement: bulkInsertStatement(mapping, columns, values, conflict), places: NO_PLACES }];
  const statement = bulkInsertReturning(mapping, columns, values, conflict);
  if (statement !== null) return [{ statement, places }];
  return places.map((place, at) => ({
    statement: bulkInsertOne(
      mapping,
      columns,
      values.map((column) => column[at]),
      conflict,
    ),
    places: [place],
  }));
}

/** Whether rows that are there already may be written over. */
export function mayUpdate({ onConflict }: BulkInsertOptions): boolean {
  return onConflict !== undefined && onConflict !== 'ignore';
}

function conflictRule(
  mapping: EntityMapping,
  given: readonly ColumnMapping[],
  { onConflict }: BulkInsertOptions,
  operation: string,
): ConflictRule | null {
  if (onConflict === undefined) return null;
  if (onConflict === 'ignore') return { on: [], update: [] };
  const named = (paths: readonly string[]): ColumnMapping[] =>
    paths.flatMap((path) => {
      const column = mapping.columns.find((one) => one.isProperty && one.path === path);
      if (column !== undefined) return [column];
      const relation = mapping.relations.find((one) => one.isOwningToOne && one.path === path);
      if (relation !== undefined) return [...relation.joinColumns];
      throw new InvalidSessionOperationError(`${operation}: ${mapping.name} has no mapped property "${path}".`);
    });
  const on = named(onConflict.on);
  const update =
    onConflict.update === undefined
      ? given.filter((column) => !on.includes(column) && !column.isKey && column.updatable && column.role !== 'version')
      : named(onConflict.update);
  return { on, update };
}
