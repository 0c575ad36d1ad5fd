import type { ColumnMapping, EntityMapping } from '../../database/entity-mapping.js';
import type { Statement, StatementResult } from '../../database/statement.js';
import { FlushError } from '../../errors/flush-errors.js';
import { SqlExpression, resolved } from '../change-set.js';
import type { InsertChange } from '../change-set.js';
import type { InsertStep } from '../flush-plan.js';
import { arrayParameter } from './array-parameter.js';
import type { BoundStatement } from './bound-statement.js';
import { textOf } from './statement-text.js';

/**
 * INSERT for all rows of a step. One row is plain VALUES. Many rows travel as one array for each column; where
 * the database makes the key, keys are drawn first, each with its row's ordinal, so that what comes back finds
 * its object without trusting the order of RETURNING.
 */
export function insertStatements(step: InsertStep): BoundStatement[] {
  const { mapping, changes } = step;
  if (changes.length === 1) return [insertOne(mapping, changes[0]!)];
  const given = givenColumns(mapping, changes[0]!);
  const missingKeys = mapping.keyColumns.filter((column) => changes[0]!.values[column.index] === undefined);
  const canDraw = missingKeys.every((column) => column.drawSql !== null);
  // A key that nothing here can draw comes from a default or trigger of the table: then row by row, in one batch.
  if (!canDraw || given.length === 0) return changes.map((change) => insertOne(mapping, change));
  return [insertMany(mapping, changes, given, missingKeys)];
}

function insertOne(mapping: EntityMapping, change: InsertChange): BoundStatement {
  const given = givenColumns(mapping, change);
  const answered = answeredColumns(mapping, change);
  const values: unknown[] = [];
  const shape = `i1/${shapeOf(mapping, change)}`;
  for (const column of given) {
    const value = change.values[column.index];
    if (!(value instanceof SqlExpression)) values.push(resolved(value));
  }
  const { id, text } = textOf(mapping, shape, () => {
    let parameter = 0;
    const list = given.map((column) => {
      const value = change.values[column.index];
      return value instanceof SqlExpression ? value.sql : `$${++parameter}`;
    });
    const row =
      given.length === 0 ? 'DEFAULT VALUES' : `(${sqlNames(given)})${overriding(given)} VALUES (${list.join(', ')})`;
    return `INSERT INTO ${mapping.table} ${row}${answered.length === 0 ? '' : ` RETURNING ${sqlNames(answered)}`}`;
  });
  return {
    id,
    changes: [change],
    statement: arrayRows(text, values),
    settle(result) {
      expectRows(mapping, 1, result);
      if (answered.length > 0 && result.rows.length > 0) take(change, answered, result.rows[0] as unknown[], 0);
      change.isDone = true;
    },
  };
}

function insertMany(
  mapping: EntityMapping,
  changes: readonly InsertChange[],
  given: readonly ColumnMapping[],
  drawn: readonly ColumnMapping[],
): BoundStatement {
  const first = changes[0]!;
  const answered = answeredColumns(mapping, first);
  const parameters = given.filter((column) => !(first.values[column.index] instanceof SqlExpression));
  const values = parameters.map((column) =>
    arrayParameter(
      column,
      changes.map((change) => resolved(change.values[column.index])),
    ),
  );
  const matched = answered.length > 0;
  const { id, text } = textOf(mapping, `in/${shapeOf(mapping, first)}`, () => {
    const arrays = parameters.map((column, at) => `$${at + 1}::${column.arrayType}[]`);
    const aliases = parameters.map((column) => `c${column.index}`);
    const source = `unnest(${arrays.join(', ')})`;
    const valueOf = (column: ColumnMapping): string => {
      const value = first.values[column.index];
      if (value instanceof SqlExpression) return value.sql;
      return column.castsElement ? `v.c${column.index}::${column.type}` : `v.c${column.index}`;
    };
    const list = given.map(valueOf).join(', ');
    if (!matched) {
      return `INSERT INTO ${mapping.table} (${sqlNames(given)})${overriding(given)} SELECT ${list} FROM ${source} AS v(${aliases.join(', ')})`;
    }
    const draws = drawn.map((column) => `${column.drawSql!} AS d${column.index}`);
    const all = [...drawn, ...given];
    const allValues = [...drawn.map((column) => `v.d${column.index}`), list].join(', ');
    const keys = mapping.keyColumns.map((column) => {
      const typed = `v.${drawn.includes(column) ? 'd' : 'c'}${column.index}`;
      const own = column.castsElement && !drawn.includes(column) ? `${typed}::${column.type}` : typed;
      return `i.${column.sql} = ${own}`;
    });
    const returned = [...new Set([...mapping.keyColumns, ...answered])];
    return (
      `WITH v AS MATERIALIZED (SELECT v.*${draws.map((draw) => `, ${draw}`).join('')} FROM ${source} WITH ORDINALITY AS v(${[...aliases, 'n'].join(', ')})), ` +
      `i AS (INSERT INTO ${mapping.table} (${sqlNames(all)})${overriding(all)} SELECT ${allValues} FROM v ORDER BY v.n RETURNING ${sqlNames(returned)}) ` +
      `SELECT v.n, ${answered.map((column) => `i.${column.sql}`).join(', ')} FROM i JOIN v ON ${keys.join(' AND ')}`
    );
  });
  return {
    id,
    changes,
    statement: arrayRows(text, values),
    settle(result) {
      expectRows(mapping, changes.length, result);
      if (matched) {
        for (const row of result.rows as unknown[][]) take(changes[Number(row[0]) - 1]!, answered, row, 1);
      }
      for (const change of changes) change.isDone = true;
    },
  };
}

function take(change: InsertChange, columns: readonly ColumnMapping[], row: readonly unknown[], from: number): void {
  for (let at = 0; at < columns.length; at++) change.returned[columns[at]!.index] = row[from + at];
}

function expectRows(mapping: EntityMapping, expected: number, result: StatementResult): void {
  if (result.rowCount === expected || !mapping.confirmRows) return;
  throw new FlushError(
    `INSERT INTO ${mapping.table} was sent for ${expected} row(s), and the database reports ${result.rowCount ?? 'no'} row(s). A trigger, a rule or row-level security swallowed some of them; set confirmRows: false for ${mapping.name} if that is meant.`,
  );
}

/** Columns that the insert names. */
function givenColumns(mapping: EntityMapping, change: InsertChange): ColumnMapping[] {
  return mapping.columns.filter((column) => change.values[column.index] !== undefined);
}

/** Columns whose values only the database knows: those left out, and expressions. */
function answeredColumns(mapping: EntityMapping, change: InsertChange): ColumnMapping[] {
  return mapping.columns.filter((column) => {
    const value = change.values[column.index];
    return value === undefined || value instanceof SqlExpression;
  });
}

function shapeOf(mapping: EntityMapping, change: InsertChange): string {
  let shape = '';
  for (const column of mapping.columns) {
    const value = change.values[column.index];
    shape += value === undefined ? '0' : value instanceof SqlExpression ? `(${value.sql})` : '1';
  }
  return shape;
}

export function sqlNames(columns: readonly ColumnMapping[]): string {
  return columns.map((column) => column.sql).join(', ');
}

function overriding(columns: readonly ColumnMapping[]): string {
  return columns.some((column) => column.generatedAlways) ? ' OVERRIDING SYSTEM VALUE' : '';
}

export function arrayRows(text: string, values: readonly unknown[]): Statement {
  return { text, values, rowMode: 'array' };
}
