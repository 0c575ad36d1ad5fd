import { SqlExpression, resolved } from '../change-set.js';
import type { InsertChange } from '../change-set.js';
import type { InsertStep } from '../flush-plan.js';
import { answersSql, takeAnswers } from './answers.js';
import type { BoundStatement } from './bound-statement.js';
import { fewInserts } from './few-inserts.js';
import { insertParts, notInserted, overriding, sqlNames } from './insert-parts.js';
import type { InsertParts } from './insert-parts.js';
import { RowSource, typed } from './row-source.js';
import { failWith } from './stale-marker.js';
import { arrayRows, textOf } from './statement-text.js';

/**
 * INSERT for all rows of a step. Many rows travel as one array for each column; where
 * the database makes the key, keys are drawn first, each with its row's ordinal, so that what comes back finds
 * its object without trusting the order of RETURNING.
 */
export function insertStatements(step: InsertStep): BoundStatement[] {
  const { changes } = step;
  const parts = insertParts(changes[0]!);
  if (changes.length === 1) return [fewInserts([{ step, parts }])];
  const { given, missingKeys } = parts;
  const canDraw = missingKeys.every((column) => column.drawSql !== null);
  // A key that nothing here can draw comes from a default or trigger of the table: then row by row, in one batch.
  if (!canDraw || given.length === 0) {
    return changes.map((change) => fewInserts([{ step: { ...step, changes: [change] }, parts }]));
  }
  return [insertMany(step, parts)];
}

function insertMany({ mapping, changes }: InsertStep, parts: InsertParts): BoundStatement {
  const first = changes[0]!;
  const { shape, given, answered, missingKeys: drawn } = parts;
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
  const { id, text } = textOf(mapping, `in${source.shape}/${shape}`, (number) => {
    const list = given
      .map((column) => {
        const value = first.values[column.index];
        return value instanceof SqlExpression ? value.sql : typed(`v.c${column.index}`, column);
      })
      .join(', ');
    const into = `INSERT INTO ${mapping.table} `;
    const check = mapping.confirmRows
      ? `CASE WHEN count(*) <> ${source.count()} THEN ${failWith(number, 'count(*)')} END`
      : 'count(*)';
    if (!matched) {
      const insert = `${into}(${sqlNames(given)})${overriding(given)} SELECT ${list} FROM ${source.from()}`;
      return `WITH i AS (${insert} RETURNING 1) SELECT ${check} FROM i`;
    }
    const draws = drawn.map((column) => `, ${column.drawSql!} AS d${column.index}`).join('');
    const all = [...drawn, ...given];
    const allValues = [...drawn.map((column) => `v.d${column.index}`), list].join(', ');
    const keys = mapping.keyColumns.map((column) => {
      const own = drawn.includes(column) ? `v.d${column.index}` : typed(`v.c${column.index}`, column);
      return `i.${column.sql} = ${own}`;
    });
    const returned = [...new Set([...mapping.keyColumns, ...answered])];
    const rows = {
      from: `i JOIN v ON ${keys.join(' AND ')}`,
      table: 'i',
      alias: 'i',
      ordinal: 'v.n',
      sent: 'v',
    };
    return (
      `WITH v AS MATERIALIZED (SELECT v.*${draws} FROM ${source.from()}), ` +
      `i AS (${into}(${sqlNames(all)})${overriding(all)} SELECT ${allValues} FROM v ORDER BY v.n RETURNING ${sqlNames(returned)}) ` +
      `SELECT (SELECT ${check} FROM i), a.* ` +
      `FROM (${answersSql(answered, rows)}) AS a`
    );
  });
  return {
    id,
    changes,
    statement: arrayRows(text, source.parameters()),
    refused: ([reported = 0], cause) => notInserted(mapping, changes.length, reported, cause),
    settle(result) {
      if (matched) takeAnswers(result, 1, answered, changes);
    },
  };
}
