import { failWith } from './stale-marker.js';

/** One row that a statement writes: which of its answers is null where the row is not there, and how it is reported then. */
export interface CheckedRow {
  /** Position among the answers. */
  readonly answer: number;
  readonly reported: number;
}

/** SQL that brings back answers in one row, and fails where a checked row is not there. */
export function checkedAnswers(
  statementId: number,
  answers: readonly string[],
  checked: readonly CheckedRow[],
): string {
  if (checked.length === 0) return `SELECT ${answers.join(', ')}`;
  const named = answers.map((answer, at) => `${answer} AS a${at}`).join(', ');
  const anyMissing = checked.map(({ answer }) => `r.a${answer} IS NULL`).join(' OR ');
  const [first] = checked;
  const missing =
    checked.length === 1
      ? `coalesce(r.a${first!.answer}::text, '${first!.reported}')`
      : `concat_ws(',', ${checked.map(({ answer, reported }) => `CASE WHEN r.a${answer} IS NULL THEN ${reported} END`).join(', ')})`;
  // Behind OFFSET the server looks for each row once, and not again for the check.
  return `SELECT r.*, CASE WHEN ${anyMissing} THEN ${failWith(statementId, missing)} END FROM (SELECT ${named} OFFSET 0) AS r`;
}
