import type { ColumnMapping, EntityMapping } from '../../database/entity-mapping.js';
import { resolved } from '../change-set.js';
import type { DeleteChange, UpdateChange } from '../change-set.js';
import { arrayParameter, textParameter } from './array-parameter.js';

/** Up to so many rows a statement names each value; more travel as one array for each column. */
export const FEW_ROWS = 4;

/** One column of the rows that a statement brings along. */
export interface SourceColumn<Row> {
  readonly alias: string;
  readonly column: ColumnMapping;
  readonly valueOf: (row: Row) => unknown;
}

/**
 * The rows that a statement writes, as the table `v` in its FROM with the ordinal `n`, and their parameters. A
 * handful is a VALUES list, which the server plans and runs in a fraction of the time of arrays; any other number
 * is `unnest`, with one text for all.
 */
export class RowSource<Row> {
  readonly #rows: readonly Row[];
  readonly #columns: readonly SourceColumn<Row>[];
  readonly isFew: boolean;

  constructor(rows: readonly Row[], columns: readonly SourceColumn<Row>[]) {
    this.#rows = rows;
    this.#columns = columns;
    this.isFew = rows.length <= FEW_ROWS;
  }

  /** Part of the shape for which a text is made. */
  get shape(): string {
    return this.isFew ? String(this.#rows.length) : 'n';
  }

  /** The parameters, in the order in which the SQL names them. */
  parameters(): unknown[] {
    if (!this.isFew && this.#columns.length === 0) return [this.#rows.length];
    if (this.isFew) return this.#rows.flatMap((row) => this.#columns.map((one) => scalarParameter(one, row)));
    return this.#columns.map(({ column, valueOf }) => arrayParameter(column, this.#rows.map(valueOf)));
  }

  /** What stands in FROM: `v`, with the aliases of the columns and the ordinal `n`. */
  from(): string {
    const aliases = [...this.#columns.map(({ alias }) => alias), 'n'].join(', ');
    if (!this.isFew) {
      if (this.#columns.length === 0) return 'generate_series(1, $1::integer) AS v(n)';
      const arrays = this.#columns.map(({ column }, at) => `$${at + 1}::${column.arrayType}[]`);
      return `unnest(${arrays.join(', ')}) WITH ORDINALITY AS v(${aliases})`;
    }
    let parameter = 0;
    const lists = this.#rows.map((_, row) => {
      const cells = this.#columns.map(({ column }) => `$${++parameter}::${column.arrayType}`);
      return `(${[...cells, row + 1].join(', ')})`;
    });
    return `(VALUES ${lists.join(', ')}) AS v(${aliases})`;
  }

  /** The common table expression `v`. */
  sql(): string {
    return `v AS ${this.isFew ? '' : 'MATERIALIZED '}(SELECT * FROM ${this.from()})`;
  }

  /** SQL of how many rows there are. */
  count(): string {
    if (this.isFew) return String(this.#rows.length);
    const [first] = this.#columns;
    return first === undefined ? '$1::integer' : `cardinality($1::${first.column.arrayType}[])`;
  }

  /**
   * How the rows of `t` are locked in key order before the first of them is written. The key's columns come first.
   * @param same the condition that finds the row of `t` for one of `v`
   * @param strength such as `NO KEY UPDATE`
   */
  locking(mapping: EntityMapping, same: string, strength: string): Locking {
    const { keyColumns, table } = mapping;
    const lock = `ORDER BY ${keyColumns.map((column) => `t.${column.sql}`).join(', ')} FOR ${strength} OF t`;
    if (this.isFew) {
      // Joined to v again, a generic plan would go through all of l for each row of v.
      return {
        cte: `l AS MATERIALIZED (SELECT v.* FROM v JOIN ${table} AS t ON ${same} ${lock})`,
        from: 'l AS v',
        before: '',
      };
    }
    // One walk through the index, in its order: less than half of what the join costs. The server has counted all of
    // l before it looks at the first row to write.
    return {
      cte: `l AS MATERIALIZED (SELECT FROM ${table} AS t WHERE ${isAmong(keyColumns, 't')} ${lock})`,
      from: 'v',
      before: '(SELECT count(*) FROM l) >= 0 AND ',
    };
  }

  /** A condition: of a table with the ordinals of those found, that some are not among them. */
  someMissing(found: string): string {
    return `count(${found}.n) <> ${this.count()}`;
  }

  /** SQL of the ordinals that a table with the ordinals of those found does not have, as a text. */
  missing(found: string): string {
    if (this.isFew) {
      const each = this.#rows.map(
        (_, row) => `CASE WHEN bool_or(${found}.n = ${row + 1}) IS NOT TRUE THEN ${row + 1} END`,
      );
      return `concat_ws(',', ${each.join(', ')})`;
    }
    return `(SELECT coalesce(string_agg(m.n::text, ','), '') FROM (SELECT v.n FROM v WHERE NOT EXISTS (SELECT FROM ${found} AS f WHERE f.n = v.n) ORDER BY v.n LIMIT 10) AS m)`;
  }
}

/** The parts of a statement that lock its rows first. */
export interface Locking {
  /** The common table expression, behind that of `v`. */
  readonly cte: string;
  /** What takes the place of `v` behind it. */
  readonly from: string;
  /** What goes in front of the conditions. */
  readonly before: string;
}

/** `t.a = ANY($1)`, or the same for several columns together; the first parameters are an array of values for each. */
export function isAmong(columns: readonly ColumnMapping[], alias: string): string {
  if (columns.length === 1) {
    const column = columns[0]!;
    const array = column.castsElement ? `$1::text[]::${column.type}[]` : `$1::${column.arrayType}[]`;
    return `${alias}.${column.sql} = ANY(${array})`;
  }
  const arrays = columns.map((column, at) => `$${at + 1}::${column.arrayType}[]`);
  const parts = columns.map((column, at) => typed(`k.c${at}`, column));
  const names = columns.map((_, at) => `c${at}`);
  return `(${columns.map((column) => `${alias}.${column.sql}`).join(', ')}) IN (SELECT ${parts.join(', ')} FROM unnest(${arrays.join(', ')}) AS k(${names.join(', ')}))`;
}

function scalarParameter<Row>({ column, valueOf }: SourceColumn<Row>, row: Row): unknown {
  const value = valueOf(row);
  return column.castsElement ? textParameter(value) : value;
}

/** What came as an element of an array, or as a cell of VALUES, with its column's own type. */
export function typed(reference: string, column: ColumnMapping): string {
  return column.castsElement ? `${reference}::${column.type}` : reference;
}

/** The columns that find the rows, and those that their guards check. */
export function keyAndGuardColumns(changes: readonly (DeleteChange | UpdateChange)[]): {
  readonly keys: SourceColumn<DeleteChange | UpdateChange>[];
  readonly guards: SourceColumn<DeleteChange | UpdateChange>[];
} {
  const { mapping, guard } = changes[0]!;
  const keys = mapping.keyColumns.map((column, at) => ({
    alias: `k${at}`,
    column,
    valueOf: (change: DeleteChange | UpdateChange) => resolved(change.key[at]),
  }));
  const guards: SourceColumn<DeleteChange | UpdateChange>[] = guard.columns.map((column, at) => ({
    alias: `o${at}`,
    column,
    valueOf: (change) => change.guard.values[at],
  }));
  if (guard.version !== undefined) {
    guards.unshift({ alias: 'w', column: mapping.version!, valueOf: (change) => change.guard.version });
  }
  return { keys, guards };
}

/** What must hold of a row `t` for it to be the one that was read. */
export function conditions(changes: readonly (DeleteChange | UpdateChange)[]): {
  readonly same: string;
  readonly all: string;
} {
  const { mapping, guard } = changes[0]!;
  const same = mapping.keyColumns.map((column, at) => `t.${column.sql} = ${typed(`v.k${at}`, column)}`).join(' AND ');
  const checks = [same];
  if (guard.version !== undefined) checks.push(`t.${mapping.version!.sql} = ${typed('v.w', mapping.version!)}`);
  // The check casts by itself, with the column's precision.
  guard.columns.forEach((column, at) => checks.push(column.unchangedSql(`t.${column.sql}`, `v.o${at}`)));
  return { same, all: checks.join(' AND ') };
}
