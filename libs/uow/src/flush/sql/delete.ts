import type { BoundStatement } from './bound-statement.js';
import type { DeleteStep, LockStep } from '../flush-plan.js';
import { arrayRows } from './insert.js';
import { guardArrays, keyArrays } from './row-parameters.js';
import { failWith } from './stale-marker.js';
import { textOf } from './statement-text.js';

/**
 * DELETE for all rows of a step. A versioned row that is not as expected makes the statement fail; of other
 * rows, one that is gone already is only counted.
 *
 * @param missed told how many rows were gone already
 */
export function deleteStatement(step: DeleteStep, missed: (step: DeleteStep, count: number) => void): BoundStatement {
  const { mapping, changes, locks } = step;
  const first = changes[0]!;
  const { guard } = first;
  const keys = mapping.keyColumns;
  const version = guard.version === undefined ? null : mapping.version;
  const values = [
    ...keyArrays(
      mapping,
      changes.map(({ key }) => key),
    ),
    ...guardArrays(version, changes),
  ];
  const columns = guard.columns.map((column) => column.index).join();
  const shape = `d/${locks ? 'l' : ''}/${version === null ? '' : 'v'}/${columns}/${guard.mustExist ? 'e' : ''}`;
  const { id, text } = textOf(mapping, shape, (number) => {
    const arrays: string[] = [];
    const aliases: string[] = [];
    const bring = (alias: string, column: (typeof keys)[number]): string => {
      arrays.push(`$${arrays.length + 1}::${column.arrayType}[]`);
      aliases.push(alias);
      return column.castsElement ? `v.${alias}::${column.type}` : `v.${alias}`;
    };
    const same = keys.map((column, at) => `t.${column.sql} = ${bring(`k${at}`, column)}`).join(' AND ');
    const conditions = [same];
    if (version !== null) conditions.push(`t.${version.sql} = ${bring('w', version)}`);
    guard.columns.forEach((column, at) => {
      bring(`o${at}`, column);
      conditions.push(column.unchangedSql(`t.${column.sql}`, `v.o${at}`));
    });
    const source = `unnest(${arrays.join(', ')}) WITH ORDINALITY AS v(${[...aliases, 'n'].join(', ')})`;
    const order = keys.map((column) => `t.${column.sql}`).join(', ');
    const lock = locks
      ? `, l AS MATERIALIZED (SELECT v.* FROM v JOIN ${mapping.table} AS t ON ${same} ORDER BY ${order} FOR UPDATE OF t)`
      : '';
    // Joined to v again, a generic plan would go through all of l for each row of v.
    const using = locks ? 'l AS v' : 'v';
    const missing = `(SELECT coalesce(string_agg(m.n::text, ','), '') FROM (SELECT v.n FROM v WHERE NOT EXISTS (SELECT FROM d WHERE d.n = v.n) ORDER BY v.n LIMIT 10) AS m)`;
    const count = 'SELECT count(*) AS n FROM d';
    const answer = guard.mustExist
      ? `SELECT c.n, CASE WHEN c.n <> cardinality($1::${keys[0]!.arrayType}[]) THEN ${failWith(number, missing)} END FROM (${count}) AS c`
      : count;
    return (
      `WITH v AS MATERIALIZED (SELECT * FROM ${source})${lock}, ` +
      `d AS (DELETE FROM ${mapping.table} AS t USING ${using} WHERE ${conditions.join(' AND ')} RETURNING v.n) ${answer}`
    );
  });
  return {
    id,
    changes,
    statement: arrayRows(text, values),
    settle(result) {
      const deleted = Number((result.rows[0] as unknown[] | undefined)?.[0] ?? 0);
      for (const change of changes) change.isDone = true;
      if (deleted < changes.length && mapping.confirmRows) missed(step, changes.length - deleted);
    },
  };
}

/** Locks rows of one table in key order, before several statements write them. */
export function lockStatement(step: LockStep): BoundStatement {
  const { mapping, keys } = step;
  const values = keyArrays(mapping, keys);
  const { id, text } = textOf(mapping, 'lock', () => {
    const arrays = mapping.keyColumns.map((column, at) => `$${at + 1}::${column.arrayType}[]`);
    const aliases = mapping.keyColumns.map((_, at) => `k${at}`);
    const same = mapping.keyColumns.map((column, at) => {
      const value = column.castsElement ? `v.k${at}::${column.type}` : `v.k${at}`;
      return `t.${column.sql} = ${value}`;
    });
    const order = mapping.keyColumns.map((column) => `t.${column.sql}`).join(', ');
    return (
      `SELECT count(*) FROM (SELECT 1 FROM unnest(${arrays.join(', ')}) AS v(${aliases.join(', ')}) ` +
      `JOIN ${mapping.table} AS t ON ${same.join(' AND ')} ORDER BY ${order} FOR NO KEY UPDATE OF t) AS locked`
    );
  });
  return { id, changes: [], statement: arrayRows(text, values), settle: () => undefined };
}
