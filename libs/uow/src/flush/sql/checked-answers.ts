import type { ColumnMapping, EntityMapping } from '../../database/entity-mapping.js';
import { noteAnswer } from '../change-set.js';
import type { InsertChange, UpdateChange } from '../change-set.js';
import { failWith } from './stale-marker.js';

/** What a statement finds of one row that it has written. */
export interface WrittenRow {
  /** SQL of a value that is never null where the row is there. */
  readonly presence: string;
  /** SQL of `askedColumns`. */
  readonly answers: readonly string[];
  /** By what it is reported where it is not there; null where that is no matter. */
  readonly reported: number | null;
}

/** SQL that brings back all answers in one row, and fails where a row is not there that should be. */
export function checkedAnswers(statementId: number, rows: readonly WrittenRow[]): string {
  const answers = rows.flatMap((row) => row.answers);
  const checked = rows.filter(({ reported }) => reported !== null);
  if (checked.length === 0) return `SELECT ${answers.length === 0 ? '1' : answers.join(', ')}`;
  const found = [...answers];
  const checks = checked.map(({ presence, reported }) => {
    let at = found.indexOf(presence);
    if (at === -1) at = found.push(presence) - 1;
    return { name: `r.a${at}`, reported };
  });
  const anyMissing = checks.map(({ name }) => `${name} IS NULL`).join(' OR ');
  const [first] = checks;
  const missing =
    checks.length === 1
      ? `coalesce(${first!.name}::text, '${first!.reported}')`
      : `concat_ws(',', ${checks.map(({ name, reported }) => `CASE WHEN ${name} IS NULL THEN ${reported} END`).join(', ')})`;
  const list = [
    ...answers.map((_, at) => `r.a${at}`),
    `CASE WHEN ${anyMissing} THEN ${failWith(statementId, missing)} END`,
  ];
  const inner = found.map((sql, at) => `${sql} AS a${at}`);
  // Behind OFFSET the server looks for each row once, and not again for the check.
  return `SELECT ${list.join(', ')} FROM (SELECT ${inner.join(', ')} OFFSET 0) AS r`;
}

/** The columns that a row brings back: where it may be missing, its key comes first and tells. */
export function askedColumns(
  { keyColumns }: EntityMapping,
  answered: readonly ColumnMapping[],
  isChecked: boolean,
): readonly ColumnMapping[] {
  const key = keyColumns[0]!;
  return isChecked || answered[0] === key ? answered : [key, ...answered.filter((column) => column !== key)];
}

/** Notes what a row has brought back, which stands in the result from a position on; nothing of one that is not there. */
export function noteAnswers(
  change: InsertChange | UpdateChange,
  asked: readonly ColumnMapping[],
  result: readonly unknown[],
  from: number,
): void {
  const [first] = asked;
  if (first?.isKey === true && result[from] === null) return;
  for (let at = 0; at < asked.length; at++) noteAnswer(change, asked[at]!, result[from + at]);
}
