import type { ColumnMapping } from '../../database/entity-mapping.js';
import type { ArrayResult } from '../../database/statement.js';
import { noteAnswer } from '../change-set.js';
import type { InsertChange, UpdateChange } from '../change-set.js';

/**
 * What a statement that writes many rows brings back: for each column one array of all rows' values, in the order
 * of the rows, in place of a message for each row. The text of the array is taken apart here, and each value read as the
 * driver reads its column, whose type a value beside it tells.
 */

/** Where a statement finds the rows that it has written. */
export interface WrittenRows {
  /** What stands in FROM: the rows, joined to their ordinals where they do not have them. */
  readonly from: string;
  /** The table that has the rows, and its alias. */
  readonly table: string;
  readonly alias: string;
  /** The ordinal of what was sent for a row. */
  readonly ordinal: string;
  /** The table of what was sent, one row for each. */
  readonly sent: string;
}

/** SQL of the one row of answers. */
export function answersSql(columns: readonly ColumnMapping[], rows: WrittenRows): string {
  const { from, table, alias, ordinal, sent } = rows;
  // Where all are found, their places say which is which.
  const ordinals = `CASE WHEN count(*) <> (SELECT count(*) FROM ${sent}) THEN array_agg(${ordinal} ORDER BY ${ordinal})::text END`;
  const values = columns.map(({ sql, baseType }) => {
    const element = isArrayOrBox(baseType) ? `${alias}.${sql}::text` : `${alias}.${sql}`;
    return `array_agg(${element} ORDER BY ${ordinal})::text, (SELECT t.${sql} FROM ${table} AS t LIMIT 0)`;
  });
  return `SELECT ${[ordinals, ...values].join(', ')} FROM ${from}`;
}

/** Arrays of arrays are something else to the server, and boxes are not separated by commas. */
function isArrayOrBox(type: string): boolean {
  return type.endsWith('[]') || type === 'box';
}

/** How many columns of the result `answersSql` fills. */
export function answersWidth(columns: readonly ColumnMapping[]): number {
  return 1 + 2 * columns.length;
}

/** Notes the answers that stand in a result's only row, from a position on. */
export function takeAnswers(
  result: ArrayResult,
  position: number,
  columns: readonly ColumnMapping[],
  changes: readonly (InsertChange | UpdateChange)[],
): void {
  const row = result.rows[0] as (string | null)[];
  const ordinals = row[position] === null ? null : result.elements(row[position]!, null);
  for (let at = 0; at < columns.length; at++) {
    const text = row[position + 1 + 2 * at];
    if (text === null || text === undefined) continue;
    const column = columns[at]!;
    const values = result.elements(text, position + 2 + 2 * at);
    for (let place = 0; place < values.length; place++) {
      const ordinal = ordinals === null ? place : Number(ordinals[place]) - 1;
      noteAnswer(changes[ordinal]!, column, values[place]);
    }
  }
}
