import type { ColumnMapping, EntityMapping } from '../../database/entity-mapping.js';
import { SqlExpression, resolved } from '../change-set.js';
import type { InsertChange } from '../change-set.js';
import type { InsertStep } from '../flush-plan.js';
import type { BoundStatement } from './bound-statement.js';
import { answeredColumns, expectInserted, givenColumns, overriding, shapeOf, sqlNames } from './insert-parts.js';
import { RowSource, typed } from './row-source.js';
import { arrayRows, textOf } from './statement-text.js';

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
      expectInserted(mapping, 1, result.rowCount);
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
  const source = new RowSource(
    changes,
    given
      .filter((column) => !(first.values[column.index] instanceof SqlExpression))
      .map((column) => ({
        alias: `c${column.index}`,
        column,
        valueOf: (change: InsertChange) => resolved(change.values[column.index]),
      })),
  );
  const matched = answered.length > 0;
  const { id, text } = textOf(mapping, `in${source.shape}/${shapeOf(mapping, first)}`, () => {
    const list = given
      .map((column) => {
        const value = first.values[column.index];
        return value instanceof SqlExpression ? value.sql : typed(`c${column.index}`, column);
      })
      .join(', ');
    const into = `INSERT INTO ${mapping.table} `;
    if (!matched) return `${into}(${sqlNames(given)})${overriding(given)} SELECT ${list} FROM ${source.from()}`;
    const draws = drawn.map((column) => `, ${column.drawSql!} AS d${column.index}`).join('');
    const all = [...drawn, ...given];
    const allValues = [...drawn.map((column) => `v.d${column.index}`), list].join(', ');
    const keys = mapping.keyColumns.map((column) => {
      const own = drawn.includes(column) ? `v.d${column.index}` : typed(`c${column.index}`, column);
      return `i.${column.sql} = ${own}`;
    });
    const returned = [...new Set([...mapping.keyColumns, ...answered])];
    return (
      `WITH v AS MATERIALIZED (SELECT v.*${draws} FROM ${source.from()}), ` +
      `i AS (${into}(${sqlNames(all)})${overriding(all)} SELECT ${allValues} FROM v ORDER BY v.n RETURNING ${sqlNames(returned)}) ` +
      `SELECT v.n, ${answered.map((column) => `i.${column.sql}`).join(', ')} FROM i JOIN v ON ${keys.join(' AND ')}`
    );
  });
  return {
    id,
    changes,
    statement: arrayRows(text, source.parameters()),
    settle(result) {
      expectInserted(mapping, changes.length, result.rowCount);
      if (matched) {
        for (const row of result.rows as unknown[][]) take(changes[Number(row[0]) - 1]!, answered, row, 1);
      }
      for (const change of changes) change.isDone = true;
    },
  };
}

function take(change: InsertChange, columns: readonly ColumnMapping[], row: readonly unknown[], from: number): void {
  for (let at = 0; at < columns.length; at++) change.answer(columns[at]!, row[from + at]);
}
