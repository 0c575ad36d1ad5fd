import type { ColumnMapping, EntityMapping } from '../../database/entity-mapping.js';
import { SqlExpression, resolved } from '../change-set.js';
import type { UpdateChange } from '../change-set.js';
import type { UpdateStep } from '../flush-plan.js';
import { answersSql, takeAnswers } from './answers.js';
import type { BoundStatement } from './bound-statement.js';
import { askedColumns, checkedAnswers, noteAnswers } from './checked-answers.js';
import type { WrittenRow } from './checked-answers.js';
import { conditions, FEW_ROWS, keyAndGuardColumns, RowSource, typed } from './row-source.js';
import type { SourceColumn } from './row-source.js';
import { failWith } from './stale-marker.js';
import { arrayRows, textOf } from './statement-text.js';

/**
 * UPDATE for all rows of a step, with their checks inside: a row that is not as expected makes the statement
 * itself fail. Rows not locked yet are locked in key order first, by an ordered CTE (sorted parameters alone
 * do not keep the order).
 */
export function updateStatement(step: UpdateStep): BoundStatement {
  const { mapping, changes } = step;
  const isFew = changes.length === 1 || (changes.length <= FEW_ROWS && !step.locks);
  return isFew ? updateFew(mapping, changes) : updateMany(mapping, changes, step.locks);
}

/** The version column counts up and update dates are set by every update that does not set them itself. */
function automaticColumns(mapping: EntityMapping, change: UpdateChange): ColumnMapping[] {
  const automatic: ColumnMapping[] = [];
  const { version, updateDate } = mapping;
  if (change.subject === null) return automatic;
  if (version !== null && change.guard.version !== undefined && !change.columns.includes(version))
    automatic.push(version);
  if (updateDate !== null && !change.columns.includes(updateDate)) automatic.push(updateDate);
  return automatic;
}

/** One that is never updated is kept by a trigger of the table: it is only asked for. */
function automaticSets(automatic: readonly ColumnMapping[]): string[] {
  return automatic
    .filter((column) => column.updatable)
    .map((column) =>
      column.role === 'version' ? `${column.sql} = t.${column.sql} + 1` : `${column.sql} = CURRENT_TIMESTAMP`,
    );
}

/** Columns whose new values only the database knows. */
function answeredColumns(change: UpdateChange, automatic: readonly ColumnMapping[]): ColumnMapping[] {
  return [...automatic, ...change.columns.filter((_, at) => change.values[at] instanceof SqlExpression)];
}

/**
 * A handful of rows whose locks are held, or a single one: each is an UPDATE of its own in a common table expression,
 * found by its key. For so few rows that is faster than to join them to a list.
 */
function updateFew(mapping: EntityMapping, changes: readonly UpdateChange[]): BoundStatement {
  const first = changes[0]!;
  const { guard } = first;
  const automatic = automaticColumns(mapping, first);
  const answered = answeredColumns(first, automatic);
  // A table with rules takes no UPDATE in WITH.
  const isPlain = changes.length === 1 && !guard.mustExist;
  const asked = answered.length === 0 ? answered : askedColumns(mapping, answered, guard.mustExist);
  const values: unknown[] = [];
  for (const change of changes) {
    for (const value of change.values) if (!(value instanceof SqlExpression)) values.push(resolved(value));
    for (const part of change.key) values.push(resolved(part));
    if (change.guard.version !== undefined) values.push(change.guard.version);
    for (const value of change.guard.values) values.push(value);
  }
  const { id, text } = textOf(mapping, `u${changes.length}/${shapeOf(first, automatic)}`, (number) => {
    let parameter = 0;
    const written: WrittenRow[] = [];
    const updates = changes.map((change, row) => {
      const sets = change.columns.map((column, at) => {
        const value = change.values[at];
        return `${column.sql} = ${value instanceof SqlExpression ? value.sql : `$${++parameter}`}`;
      });
      sets.push(...automaticSets(automatic));
      const conditions = mapping.keyColumns.map((column) => `t.${column.sql} = $${++parameter}`);
      if (guard.version !== undefined) conditions.push(`t.${mapping.version!.sql} = $${++parameter}`);
      conditions.push(...guard.columns.map((column) => column.unchangedSql(`t.${column.sql}`, `$${++parameter}`)));
      const key = mapping.keyColumns[0]!;
      const found = (column: ColumnMapping): string => `(SELECT u.${column.sql} FROM u${row} AS u)`;
      written.push({ presence: found(key), answers: asked.map(found), reported: guard.mustExist ? row + 1 : null });
      const returning = [...new Set([key, ...asked])].map((column) => `t.${column.sql}`).join(', ');
      const update = `UPDATE ${mapping.table} AS t SET ${sets.join(', ')} WHERE ${conditions.join(' AND ')}`;
      if (isPlain) return asked.length === 0 ? update : `${update} RETURNING ${returning}`;
      return `u${row} AS (${update} RETURNING ${returning})`;
    });
    if (isPlain) return updates[0]!;
    return `WITH ${updates.join(', ')} ${checkedAnswers(number, written)}`;
  });
  return {
    id,
    changes,
    statement: arrayRows(text, values),
    settle(result) {
      const answers = result.rows[0] as unknown[] | undefined;
      if (answers === undefined) return;
      changes.forEach((change, row) => {
        noteAnswers(change, asked, answers, row * asked.length);
      });
    },
  };
}

function updateMany(mapping: EntityMapping, changes: readonly UpdateChange[], locks: boolean): BoundStatement {
  const first = changes[0]!;
  const { guard } = first;
  const automatic = automaticColumns(mapping, first);
  const answered = answeredColumns(first, automatic);
  const { keys, guards } = keyAndGuardColumns(changes);
  const sets: SourceColumn<UpdateChange>[] = [];
  first.columns.forEach((column, at) => {
    if (first.values[at] instanceof SqlExpression) return;
    sets.push({ alias: `s${at}`, column, valueOf: (change) => resolved(change.values[at]) });
  });
  const source = new RowSource(changes, [...keys, ...sets, ...guards]);

  const shape = `un${source.shape}/${locks ? 'l' : ''}/${shapeOf(first, automatic)}`;
  const { id, text } = textOf(mapping, shape, (number) => {
    const assignments = first.columns.map((column, at) => {
      const value = first.values[at];
      return `${column.sql} = ${value instanceof SqlExpression ? value.sql : typed(`v.s${at}`, column)}`;
    });
    assignments.push(...automaticSets(automatic));
    const { same, all } = conditions(changes);
    const strength = first.columns.some((column) => column.isKey) ? 'UPDATE' : 'NO KEY UPDATE';
    const lock = locks ? source.locking(mapping, same, strength) : null;
    const returning = ['v.n', ...answered.map((column) => `t.${column.sql}`)].join(', ');
    const fails = `CASE WHEN ${source.someMissing('u')} THEN ${failWith(number, source.missing('u'))} END`;
    const check = `SELECT ${guard.mustExist ? fails : 'count(u.n)'} AS fails FROM u`;
    const rows = { from: 'u', table: 'u', alias: 'u', ordinal: 'u.n', sent: 'v' };
    const answer = answered.length === 0 ? check : `SELECT (${check}), a.* FROM (${answersSql(answered, rows)}) AS a`;
    return (
      `WITH ${source.sql()}${lock === null ? '' : `, ${lock.cte}`}, ` +
      `u AS (UPDATE ${mapping.table} AS t SET ${assignments.join(', ')} FROM ${lock?.from ?? 'v'} WHERE ${lock?.before ?? ''}${all} RETURNING ${returning}) ${answer}`
    );
  });
  return {
    id,
    changes,
    statement: arrayRows(text, source.parameters()),
    settle(result) {
      if (answered.length > 0) takeAnswers(result, 1, answered, changes);
    },
  };
}

function shapeOf(change: UpdateChange, automatic: readonly ColumnMapping[]): string {
  const { columns, values, guard } = change;
  let shape = '';
  for (let at = 0; at < columns.length; at++) {
    const value = values[at];
    shape += value instanceof SqlExpression ? `${columns[at]!.index}(${value.sql}),` : `${columns[at]!.index},`;
  }
  shape += `/${automatic.length}/${guard.version === undefined ? '' : 'v'}/${guard.mustExist ? 'e' : ''}/`;
  for (const { index } of guard.columns) shape += `${index},`;
  return shape;
}
