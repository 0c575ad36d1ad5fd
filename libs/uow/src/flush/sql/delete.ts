import { resolved } from '../change-set.js';
import type { DeleteStep, LockStep } from '../flush-plan.js';
import { arrayParameter } from './array-parameter.js';
import type { BoundStatement } from './bound-statement.js';
import { conditions, keyAndGuardColumns, RowSource, typed } from './row-source.js';
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
    const order = mapping.keyColumns.map((column) => `t.${column.sql}`).join(', ');
    const lock = locks
      ? `, l AS MATERIALIZED (SELECT v.* FROM v JOIN ${mapping.table} AS t ON ${same} ORDER BY ${order} FOR UPDATE OF t)`
      : '';
    // Joined to v again, a generic plan would go through all of l for each row of v.
    const using = locks ? 'l AS v' : 'v';
    const fails = guard.mustExist
      ? `, CASE WHEN ${source.someMissing('d')} THEN ${failWith(number, source.missing('d'))} END`
      : '';
    return (
      `WITH ${source.sql()}${lock}, ` +
      `d AS (DELETE FROM ${mapping.table} AS t USING ${using} WHERE ${all} RETURNING v.n) SELECT count(d.n)${fails} FROM d`
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
    const arrays = mapping.keyColumns.map((column, at) => `$${at + 1}::${column.arrayType}[]`);
    const aliases = mapping.keyColumns.map((_, at) => `k${at}`);
    const same = mapping.keyColumns.map((column, at) => `t.${column.sql} = ${typed(`v.k${at}`, column)}`);
    const order = mapping.keyColumns.map((column) => `t.${column.sql}`).join(', ');
    return (
      `SELECT count(*) FROM (SELECT 1 FROM unnest(${arrays.join(', ')}) AS v(${aliases.join(', ')}) ` +
      `JOIN ${mapping.table} AS t ON ${same.join(' AND ')} ORDER BY ${order} FOR NO KEY UPDATE OF t) AS locked`
    );
  });
  return { id, changes: [], statement: arrayRows(text, values), settle: () => undefined };
}
