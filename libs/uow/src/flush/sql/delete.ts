import { resolved } from '../change-set.js';
import type { DeleteStep, LockStep } from '../flush-plan.js';
import { arrayParameter } from './array-parameter.js';
import type { BoundStatement } from './bound-statement.js';
import { conditions, isAmong, keyAndGuardColumns, RowSource } from './row-source.js';
import { failWith } from './stale-marker.js';
import { arrayRows, textOf } from './statement-text.js';

/**
 * DELETE for all rows of a step. A versioned row that is not as expected makes the statement fail; of other
 * rows, one that is gone already is only counted.
 *
 * @param missed told how many rows were gone already
 */
export function deleteStatement(step: DeleteStep, missed: (step: DeleteStep, count: number) => void): BoundStatement {
  const { mapping, changes, locks } = step;
  const { guard } = changes[0]!;
  const { keys, guards } = keyAndGuardColumns(changes);
  const source = new RowSource(changes, [...keys, ...guards]);
  const columns = guards.map(({ alias, column }) => `${alias}.${column.index}`).join();
  const shape = `d${source.shape}/${locks ? 'l' : ''}/${columns}/${guard.mustExist ? 'e' : ''}`;
  const { id, text } = textOf(mapping, shape, (number) => {
    const { same, all } = conditions(changes);
    const lock = locks ? source.locking(mapping, same, 'UPDATE') : null;
    const fails = guard.mustExist
      ? `, CASE WHEN ${source.someMissing('d')} THEN ${failWith(number, source.missing('d'))} END`
      : '';
    return (
      `WITH ${source.sql()}${lock === null ? '' : `, ${lock.cte}`}, ` +
      `d AS (DELETE FROM ${mapping.table} AS t USING ${lock?.from ?? 'v'} WHERE ${lock?.before ?? ''}${all} RETURNING v.n) SELECT count(d.n)${fails} FROM d`
    );
  });
  return {
    id,
    changes,
    statement: arrayRows(text, source.parameters()),
    settle(result) {
      const deleted = Number((result.rows[0] as unknown[] | undefined)?.[0] ?? 0);
      if (deleted < changes.length && mapping.confirmRows) missed(step, changes.length - deleted);
    },
  };
}

/** Locks rows of one table in key order, before several statements write them. */
export function lockStatement(step: LockStep): BoundStatement {
  const { mapping, keys } = step;
  const values = mapping.keyColumns.map((column, at) =>
    arrayParameter(
      column,
      keys.map((key) => resolved(key[at])),
    ),
  );
  const { id, text } = textOf(mapping, 'lock', () => {
    const order = mapping.keyColumns.map((column) => `t.${column.sql}`).join(', ');
    const among = isAmong(mapping.keyColumns, 't');
    return `SELECT count(*) FROM (SELECT FROM ${mapping.table} AS t WHERE ${among} ORDER BY ${order} FOR NO KEY UPDATE OF t) AS locked`;
  });
  return { id, changes: [], statement: arrayRows(text, values), settle: () => undefined };
}
