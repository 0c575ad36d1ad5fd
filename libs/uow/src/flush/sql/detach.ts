import { resolved } from '../change-set.js';
import type { DetachStep } from '../flush-plan.js';
import { arrayParameter } from './array-parameter.js';
import type { BoundStatement } from './bound-statement.js';
import { typed } from './row-source.js';
import { arrayRows, textOf } from './statement-text.js';

/**
 * Cuts rows off from rows that are about to be deleted, found by their foreign key and never loaded: sets the
 * foreign key null, or deletes them where they are rows of a join table. Rows are locked in key order first.
 */
export function detachStatement(step: DetachStep): BoundStatement {
  const { mapping, columns, keys, except } = step;
  const values = columns.map((column, at) =>
    arrayParameter(
      column,
      keys.map((key) => key[at]),
    ),
  );
  if (except.length > 0) {
    mapping.keyColumns.forEach((column, at) => {
      values.push(
        arrayParameter(
          column,
          except.map((key) => resolved(key[at])),
        ),
      );
    });
  }
  const shape = `x/${step.action}/${columns.map((column) => column.index).join()}/${except.length > 0 ? 'e' : ''}`;
  const { id, text } = textOf(mapping, shape, () => {
    let parameter = 0;
    const among = (list: readonly (typeof columns)[number][], not: string): string => {
      const arrays = list.map((column) => `$${++parameter}::${column.arrayType}[]`);
      const aliases = list.map((_, at) => `k${at}`);
      const parts = list.map((column, at) => typed(`k.k${at}`, column));
      const own = list.map((column) => `t.${column.sql}`).join(', ');
      return `(${own}) ${not}IN (SELECT ${parts.join(', ')} FROM unnest(${arrays.join(', ')}) AS k(${aliases.join(', ')}))`;
    };
    const conditions = [among(columns, '')];
    if (except.length > 0) conditions.push(among(mapping.keyColumns, 'NOT '));
    const where = conditions.join(' AND ');
    const keyColumns = mapping.keyColumns.map((column) => `t.${column.sql}`);
    const strength = step.action === 'delete' ? 'UPDATE' : 'NO KEY UPDATE';
    const rows = `l AS MATERIALIZED (SELECT ${keyColumns.join(', ')} FROM ${mapping.table} AS t WHERE ${where} ORDER BY ${keyColumns.join(', ')} FOR ${strength})`;
    const same = mapping.keyColumns.map((column) => `t.${column.sql} = l.${column.sql}`).join(' AND ');
    if (step.action === 'delete') return `WITH ${rows} DELETE FROM ${mapping.table} AS t USING l WHERE ${same}`;
    const sets = columns.map((column) => `${column.sql} = NULL`);
    if (mapping.version !== null) sets.push(`${mapping.version.sql} = t.${mapping.version.sql} + 1`);
    if (mapping.updateDate !== null) sets.push(`${mapping.updateDate.sql} = CURRENT_TIMESTAMP`);
    return `WITH ${rows} UPDATE ${mapping.table} AS t SET ${sets.join(', ')} FROM l WHERE ${same}`;
  });
  return { id, changes: [], statement: arrayRows(text, values), settle: () => undefined };
}
