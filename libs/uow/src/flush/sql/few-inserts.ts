import type { ColumnMapping } from '../../database/entity-mapping.js';
import { KeyOfInsert, SqlExpression, isKnown, resolved } from '../change-set.js';
import type { InsertChange } from '../change-set.js';
import type { InsertStep } from '../flush-plan.js';
import type { BoundStatement } from './bound-statement.js';
import { askedColumns, checkedAnswers, noteAnswers } from './checked-answers.js';
import type { WrittenRow } from './checked-answers.js';
import { notInserted, overriding, sqlNames } from './insert-parts.js';
import type { InsertParts } from './insert-parts.js';
import { arrayRows, textOf } from './statement-text.js';

/**
 * A handful of new rows, of one table or of several that refer to each other, in one statement: each row is an
 * INSERT of its own in a common table expression, so what it returns needs no matching, the database makes its
 * keys as for any INSERT, and a later row reads them from there. The server starts and ends one statement; for
 * so few rows that is faster than arrays.
 */

/** Beyond this there would be too many texts, one for each way in which rows may refer to each other. */
export const FEW_INSERTS = 6;

/** How one row is written: which columns it names, which it brings back. */
interface Row {
  readonly change: InsertChange;
  readonly given: readonly ColumnMapping[];
  readonly asked: readonly ColumnMapping[];
}

/** Rows of one table and shape. */
interface FewOfAKind {
  readonly step: InsertStep;
  readonly parts: InsertParts;
}

/** @param kinds in order; what refers to a generated key comes behind the row that has it */
export function fewInserts(kinds: readonly FewOfAKind[]): BoundStatement {
  const rows: Row[] = [];
  let shape = 'few';
  const values: unknown[] = [];
  for (const { step, parts } of kinds) {
    const { mapping, changes } = step;
    const { shape: columns, given, answered } = parts;
    const asked = askedColumns(mapping, answered, mapping.confirmRows);
    shape += `/${mapping.name}:${columns}`;
    for (const change of changes) {
      rows.push({ change, given, asked });
      shape += ',';
      for (const column of given) {
        const value = change.values[column.index];
        const reference = referenceOf(value, rows);
        if (reference !== null) shape += `${column.index}>${reference};`;
        else if (!(value instanceof SqlExpression)) values.push(resolved(value));
      }
    }
  }
  const { id, text } = textOf(kinds[0]!.step.mapping, shape, (number) => textFor(number, rows));
  return {
    id,
    changes: rows.map(({ change }) => change),
    statement: arrayRows(text, values),
    refused(missing, cause) {
      const { mapping } = rows[missing[0]!]!.change;
      const sent = rows.filter(({ change }) => change.mapping === mapping).length;
      const gone = missing.filter((at) => rows[at]!.change.mapping === mapping).length;
      return notInserted(mapping, sent, sent - gone, cause);
    },
    settle(result) {
      const answers = result.rows[0] as unknown[];
      let from = 0;
      for (const { change, asked } of rows) {
        noteAnswers(change, asked, answers, from);
        from += asked.length;
      }
    },
  };
}

/** Position of the row whose generated key a value is; null where the value itself is known. */
function referenceOf(value: unknown, rows: readonly Row[]): number | null {
  if (!(value instanceof KeyOfInsert) || isKnown(value)) return null;
  for (let at = 0; at < rows.length; at++) if (rows[at]!.change === value.insert) return at;
  return null;
}

function textFor(number: number, rows: readonly Row[]): string {
  let parameter = 0;
  const written: WrittenRow[] = [];
  const inserts = rows.map(({ change, given, asked }, at) => {
    const { mapping } = change;
    const parents = new Set<number>();
    // DEFAULT, say, may stand in VALUES only.
    const takesExpressions = given.some((column) => change.values[column.index] instanceof SqlExpression);
    const list = given.map((column) => {
      const value = change.values[column.index];
      if (value instanceof SqlExpression) return value.sql;
      const reference = referenceOf(value, rows);
      if (reference === null) return `$${++parameter}`;
      const { sql } = (value as KeyOfInsert).column;
      if (takesExpressions) return `(SELECT i.${sql} FROM i${reference} AS i)`;
      parents.add(reference);
      return `i${reference}.${sql}`;
    });
    const key = mapping.keyColumns[0]!;
    const found = (column: ColumnMapping): string => `(SELECT i.${column.sql} FROM i${at} AS i)`;
    written.push({ presence: found(key), answers: asked.map(found), reported: mapping.confirmRows ? at : null });
    // From the rows that it refers to: quicker than a subquery for each value.
    const from = [...parents].map((parent) => `i${parent}`).join(', ');
    const values = parents.size === 0 ? `VALUES (${list.join(', ')})` : `SELECT ${list.join(', ')} FROM ${from}`;
    const row = given.length === 0 ? 'DEFAULT VALUES' : `(${sqlNames(given)})${overriding(given)} ${values}`;
    return `i${at} AS (INSERT INTO ${mapping.table} ${row} RETURNING ${sqlNames([...new Set([key, ...asked])])})`;
  });
  return `WITH ${inserts.join(', ')} ${checkedAnswers(number, written)}`;
}
