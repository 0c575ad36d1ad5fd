import type { ColumnMapping, EntityMapping } from '../../database/entity-mapping.js';
import type { MatchingKeys } from '../../database/loading.js';
import type { Statement } from '../../database/statement.js';
import { SqlExpression } from '../change-set.js';
import { binaryArray } from './array-encoding.js';
import { arrayParameter } from './array-parameter.js';
import { sqlNames } from './insert-parts.js';
import { typed } from './row-source.js';
import { arrayRows } from './statement-text.js';

/** SQL of bulk statements: rows that no object stands for, and rows found by criteria. */

/** What becomes of a row that a unique constraint refuses. */
export interface ConflictRule {
  /** Columns of the constraint; empty for any. */
  readonly on: readonly ColumnMapping[];
  /** Columns that the existing row takes over; empty to leave it as it is. */
  readonly update: readonly ColumnMapping[];
}

/**
 * One INSERT for rows of one shape, in their order, however many there are: the server takes an element of each array
 * at a time, where arrays that stand in FROM are made a table first.
 * @param values of each column, those of all rows
 */
export function bulkInsertStatement(
  mapping: EntityMapping,
  columns: readonly ColumnMapping[],
  values: readonly (readonly unknown[])[],
  conflict: ConflictRule | null,
): Statement {
  const { arrays, aliases, parameters, list } = rowSource(columns, values);
  const source = arrays.map((array, at) => `unnest(${array}) AS ${aliases[at]!}`).join(', ');
  return arrayRows(
    `INSERT INTO ${mapping.table} AS t (${sqlNames(columns)})${overriding(columns)} SELECT ${list.join(', ')} ` +
      `FROM (SELECT ${source}) AS v${conflictClause(mapping, conflict)}`,
    parameters,
  );
}

/**
 * As `bulkInsertStatement`; answers with the rows as `readColumns` show them and, last, the place of each among the
 * given rows. What an INSERT returns has no order that PostgreSQL promises, so each row is found by its key, which is
 * drawn before; a row that was there by the columns of the conflict. Null where no key can be known before.
 */
export function bulkInsertReturning(
  mapping: EntityMapping,
  columns: readonly ColumnMapping[],
  values: readonly (readonly unknown[])[],
  conflict: ConflictRule | null,
): Statement | null {
  const drawn = mapping.keyColumns.filter((column) => !columns.includes(column));
  const matched = [...mapping.keyColumns, ...(conflict?.on ?? [])];
  const isKnown = (column: ColumnMapping): boolean =>
    columns.includes(column) && !(values[columns.indexOf(column)]![0] instanceof SqlExpression);
  if (!matched.every((column) => (drawn.includes(column) ? column.drawSql !== null : isKnown(column)))) return null;
  const { arrays, aliases, parameters, list } = rowSource(columns, values);
  const source = `unnest(${arrays.join(', ')}) WITH ORDINALITY`;
  const all = [...drawn, ...columns];
  const draws = drawn.map((column) => `, ${column.drawSql!} AS d${column.index}`).join('');
  const returned = [...new Set([...mapping.readColumns, ...matched])];
  // With the column's own type, which may round what was given.
  const same = (alias: string, by: readonly ColumnMapping[]): string =>
    by
      .map((column) => {
        const prefix = drawn.includes(column) ? 'd' : 'c';
        return `${alias}.${prefix}${column.index}::${column.type} = i.${column.sql}`;
      })
      .join(' AND ');
  const mayBeThere = conflict !== null && conflict.update.length > 0 && conflict.on.length > 0;
  const place = mayBeThere ? 'coalesce(o.n, v.n)' : 'v.n';
  return arrayRows(
    `WITH v AS MATERIALIZED (SELECT v.*${draws} FROM ${source} AS v(${[...aliases, 'n'].join(', ')})), ` +
      `i AS (INSERT INTO ${mapping.table} AS t (${sqlNames(all)})${overriding(all)} ` +
      `SELECT ${[...drawn.map((column) => `v.d${column.index}`), ...list].join(', ')} FROM v ORDER BY v.n` +
      `${conflictClause(mapping, conflict)} RETURNING ${names(returned)}) ` +
      `SELECT ${mapping.readColumns.map((column) => `i.${column.sql}`).join(', ')}, ${place} FROM i ` +
      `LEFT JOIN v ON ${same('v', mapping.keyColumns)}` +
      (mayBeThere ? ` LEFT JOIN v AS o ON ${same('o', conflict.on)}` : ''),
    parameters,
  );
}

/** One row of the same, whose place needs no finding. */
export function bulkInsertOne(
  mapping: EntityMapping,
  columns: readonly ColumnMapping[],
  row: readonly unknown[],
  conflict: ConflictRule | null,
): Statement {
  const { text, values } = bulkInsertStatement(
    mapping,
    columns,
    row.map((value) => [value]),
    conflict,
  );
  return arrayRows(`${text} RETURNING ${names(mapping.readColumns)}, 1`, values ?? []);
}

/** From so many rows on, arrays travel in binary form; fewer are shown by a log as they are. */
const MANY_ROWS = 100;

/** Rows of one shape as arrays, with the alias that each has in `v`, and what to take from there for each column. */
function rowSource(
  columns: readonly ColumnMapping[],
  values: readonly (readonly unknown[])[],
): { arrays: string[]; aliases: string[]; parameters: unknown[]; list: string[] } {
  const arrays: string[] = [];
  const aliases: string[] = [];
  const parameters: unknown[] = [];
  const count = values[0]!.length;
  const list = columns.map((column, at) => {
    const ofColumn = values[at]!;
    if (ofColumn[0] instanceof SqlExpression) return ofColumn[0].sql;
    const alias = `c${column.index}`;
    const binary = count < MANY_ROWS ? null : binaryArray(column, ofColumn);
    parameters.push(binary ?? arrayParameter(column, ofColumn));
    arrays.push(`$${parameters.length}::${column.arrayType}[]`);
    aliases.push(alias);
    return typed(`v.${alias}`, column);
  });
  // A row of nothing but expressions still needs a source to be counted by.
  if (arrays.length === 0) {
    parameters.push(`{${values[0]!.map(() => '1').join(',')}}`);
    arrays.push('$1::integer[]');
    aliases.push('x');
  }
  return { arrays, aliases, parameters, list };
}

function overriding(columns: readonly ColumnMapping[]): string {
  return columns.some((column) => column.generatedAlways) ? ' OVERRIDING SYSTEM VALUE' : '';
}

function conflictClause(mapping: EntityMapping, conflict: ConflictRule | null): string {
  if (conflict === null) return '';
  const target = conflict.on.length === 0 ? '' : ` (${sqlNames(conflict.on)})`;
  if (conflict.update.length === 0) return ` ON CONFLICT${target} DO NOTHING`;
  const sets = conflict.update.map((column) => `${column.sql} = excluded.${column.sql}`);
  return ` ON CONFLICT${target} DO UPDATE SET ${[...sets, ...automaticSets(mapping, conflict.update)].join(', ')}`;
}

/** UPDATE of the matching rows, locked in key order first. */
export function bulkUpdateStatement(
  mapping: EntityMapping,
  matching: MatchingKeys,
  columns: readonly ColumnMapping[],
  values: readonly unknown[],
  wanted: WantedRows | null,
): Statement {
  const parameters = [...matching.values];
  const sets = columns.map((column, at) => {
    const value = values[at];
    if (value instanceof SqlExpression) return `${column.sql} = ${value.sql}`;
    parameters.push(value);
    return `${column.sql} = $${parameters.length}`;
  });
  sets.push(...automaticSets(mapping, columns));
  const write = `UPDATE ${mapping.table} AS t SET ${sets.join(', ')} FROM f WHERE ${foundRows(mapping, matching)}`;
  return answered(mapping, locked(matching, 'NO KEY UPDATE'), write, parameters, wanted);
}

/** DELETE of the matching rows, locked in key order first. */
export function bulkDeleteStatement(
  mapping: EntityMapping,
  matching: MatchingKeys,
  wanted: WantedRows | null,
): Statement {
  const write = `DELETE FROM ${mapping.table} AS t USING f WHERE ${foundRows(mapping, matching)}`;
  return answered(mapping, locked(matching, 'UPDATE'), write, [...matching.values], wanted);
}

/** Rows that the session has objects of: only they come back. */
export interface WantedRows {
  /** Parameters of the key columns. */
  readonly keys: readonly (readonly unknown[])[];
  /** What to bring of each; the key is among it. */
  readonly columns: readonly ColumnMapping[];
}

/** The number of written rows stands in front of each row of the answer; without wanted ones it is the answer's count. */
function answered(
  mapping: EntityMapping,
  rows: string,
  write: string,
  parameters: unknown[],
  wanted: WantedRows | null,
): Statement {
  if (wanted === null) return arrayRows(`WITH ${rows} ${write}`, parameters);
  const from = parameters.length;
  mapping.keyColumns.forEach((column, at) => {
    parameters.push(
      arrayParameter(
        column,
        wanted.keys.map((key) => key[at]),
      ),
    );
  });
  const arrays = mapping.keyColumns.map((column, at) => `$${from + at + 1}::${column.arrayType}[]`);
  const aliases = mapping.keyColumns.map((_, at) => `k${at}`);
  const parts = mapping.keyColumns.map((column, at) => typed(`k.k${at}`, column));
  const own = mapping.keyColumns.map((column) => `w.${column.sql}`).join(', ');
  const among = `(${own}) IN (SELECT ${parts.join(', ')} FROM unnest(${arrays.join(', ')}) AS k(${aliases.join(', ')}))`;
  return arrayRows(
    `WITH ${rows}, w AS (${write} RETURNING ${names(wanted.columns)}) ` +
      `SELECT c.n, s.* FROM (SELECT count(*) AS n FROM w) AS c LEFT JOIN (SELECT w.* FROM w WHERE ${among}) AS s ON true`,
    parameters,
  );
}

function locked({ text, keys, alias, isUnordered }: MatchingKeys, strength: string): string {
  const order = isUnordered ? ` ORDER BY ${keys.join(', ')}` : '';
  return `f AS MATERIALIZED (${text}${order} FOR ${strength} OF ${alias})`;
}

function foundRows(mapping: EntityMapping, { keys }: MatchingKeys): string {
  return mapping.keyColumns.map((column, at) => `t.${column.sql} = f.${keys[at]!}`).join(' AND ');
}

/** The version counts up and the update date is set, unless the statement sets them itself. */
function automaticSets(mapping: EntityMapping, given: readonly ColumnMapping[]): string[] {
  const sets: string[] = [];
  const { version, updateDate } = mapping;
  if (version?.updatable === true && !given.includes(version)) sets.push(`${version.sql} = t.${version.sql} + 1`);
  if (updateDate?.updatable === true && !given.includes(updateDate)) sets.push(`${updateDate.sql} = CURRENT_TIMESTAMP`);
  return sets;
}

function names(columns: readonly ColumnMapping[]): string {
  return columns.map((column) => `t.${column.sql}`).join(', ');
}
