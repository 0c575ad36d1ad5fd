import type { ColumnMapping } from '../../database/entity-mapping.js';
import type { StatementResult } from '../../database/statement.js';
import { KeyOfInsert, SqlExpression, resolved } from '../change-set.js';
import type { InsertChange } from '../change-set.js';
import type { FlushStep, InsertStep } from '../flush-plan.js';
import { arrayParameter } from './array-parameter.js';
import type { BoundStatement } from './bound-statement.js';
import { FEW_INSERTS, fewInserts } from './few-inserts.js';
import { expectInserted, sqlNames } from './insert-parts.js';
import { arrayRows, textOf } from './statement-text.js';

/**
 * Inserts of several tables in one statement, where rows of one need the generated keys of another: each level
 * draws its keys in a CTE, and the next finds them by the ordinal of the row that it refers to. The server checks
 * foreign keys when the whole statement is done. So a parent with its children is one round trip.
 */

/** How a column of one step takes the keys of an earlier one. */
interface KeyColumn {
  readonly column: ColumnMapping;
  /** Position of the step whose keys it takes. */
  readonly from: number;
  readonly key: ColumnMapping;
}

interface Link {
  readonly step: InsertStep;
  readonly keys: readonly KeyColumn[];
  readonly given: readonly ColumnMapping[];
  readonly drawn: readonly ColumnMapping[];
  readonly answered: readonly ColumnMapping[];
}

/**
 * The longest run of insert steps, from a position on, in which later steps need keys of earlier ones.
 * @returns null where there is none
 */
export function chainFrom(steps: readonly FlushStep[], start: number): Link[] | null {
  const chain: Link[] = [];
  const positions = new Map<InsertChange, number>();
  let length = 0;
  for (let at = start; at < steps.length; at++) {
    const step = steps[at]!;
    if (step.kind !== 'insert') break;
    const link = linkOf(step, chain, positions);
    if (link === null) break;
    for (const change of step.changes) positions.set(change, chain.length);
    chain.push(link);
    if (link.keys.length > 0) length = chain.length;
  }
  return length < 2 ? null : chain.slice(0, length);
}

/** Null where the step cannot be a link: it needs a key from elsewhere, or one that cannot be drawn beforehand. */
function linkOf(step: InsertStep, chain: readonly Link[], positions: ReadonlyMap<InsertChange, number>): Link | null {
  const { mapping, changes } = step;
  const first = changes[0]!;
  const keys: KeyColumn[] = [];
  const given: ColumnMapping[] = [];
  for (const column of mapping.columns) {
    const value = first.values[column.index];
    if (value === undefined) continue;
    if (!(value instanceof KeyOfInsert) || value.value() !== undefined) {
      if (!changes.every((change) => isKnown(change.values[column.index]))) return null;
      given.push(column);
      continue;
    }
    const from = positions.get(value.insert);
    if (from === undefined || !chain[from]!.drawn.includes(value.column)) return null;
    for (const change of changes) {
      const other = change.values[column.index];
      if (!(other instanceof KeyOfInsert) || other.column !== value.column) return null;
      if (positions.get(other.insert) !== from) return null;
    }
    keys.push({ column, from, key: value.column });
  }
  const missing = mapping.keyColumns.filter((column) => first.values[column.index] === undefined);
  if (missing.some((column) => column.drawSql === null) || given.length + keys.length === 0) return null;
  const answered = mapping.columns.filter((column) => {
    const value = first.values[column.index];
    return value === undefined || value instanceof SqlExpression;
  });
  return { step, keys, given, drawn: missing, answered };
}

function isKnown(value: unknown): boolean {
  return !(value instanceof KeyOfInsert) || value.value() !== undefined;
}

/** The one statement for a chain. */
export function chainedInserts(chain: readonly Link[]): BoundStatement {
  const steps = chain.map(({ step }) => step);
  if (steps.reduce((sum, { changes }) => sum + changes.length, 0) <= FEW_INSERTS) return fewInserts(steps);
  for (const { step } of chain) step.changes.forEach((change, row) => (change.ordinal = row + 1));
  const values: unknown[] = [];
  for (const { step, keys, given } of chain) {
    const { changes } = step;
    for (const column of given) {
      if (changes[0]!.values[column.index] instanceof SqlExpression) continue;
      values.push(
        arrayParameter(
          column,
          changes.map((change) => resolved(change.values[column.index])),
        ),
      );
    }
    for (const { column } of keys) {
      const rows = changes.map((change) => (change.values[column.index] as KeyOfInsert).insert.ordinal);
      values.push(`{${rows.join()}}`);
    }
  }
  values.push(Math.max(...chain.map(({ step }) => step.changes.length)));

  const { mapping } = chain[0]!.step;
  const { id, text } = textOf(mapping, `chain/${chain.map(shapeOf).join('+')}`, () => textFor(chain));
  const changes = chain.flatMap(({ step }) => step.changes);
  return {
    id,
    changes,
    statement: arrayRows(text, values),
    settle(result) {
      settle(chain, result);
      for (const change of changes) change.isDone = true;
    },
  };
}

function textFor(chain: readonly Link[]): string {
  let parameter = 0;
  const ctes: string[] = [];
  const answers: string[] = [];
  const joins: string[] = [];
  chain.forEach(({ step, keys, given, drawn, answered }, at) => {
    const { mapping } = step;
    const first = step.changes[0]!;
    const arrays: string[] = [];
    const aliases: string[] = [];
    const list: string[] = [];
    for (const column of given) {
      const value = first.values[column.index];
      if (value instanceof SqlExpression) {
        list.push(value.sql);
        continue;
      }
      arrays.push(`$${++parameter}::${column.arrayType}[]`);
      aliases.push(`c${column.index}`);
      list.push(column.castsElement ? `v.c${column.index}::${column.type}` : `v.c${column.index}`);
    }
    const parents: string[] = [];
    for (const { column, from, key } of keys) {
      arrays.push(`$${++parameter}::int[]`);
      aliases.push(`r${column.index}`);
      parents.push(` JOIN v${from} AS p${column.index} ON p${column.index}.n = v.r${column.index}`);
      list.push(`p${column.index}.d${key.index}`);
    }
    // Keys of one table grow from level to level: those of the level before are drawn first.
    const before = chain.findLastIndex(
      (other, position) => position < at && other.step.mapping.table === mapping.table,
    );
    const after = before === -1 ? '' : ` WHERE (SELECT count(*) FROM v${before}) > 0`;
    const draws = drawn.map((column) => `, ${column.drawSql!} AS d${column.index}`).join('');
    ctes.push(
      `v${at} AS MATERIALIZED (SELECT v.*${draws} FROM unnest(${arrays.join(', ')}) WITH ORDINALITY AS v(${[...aliases, 'n'].join(', ')})${after})`,
    );
    const columns = [...drawn, ...given, ...keys.map(({ column }) => column)];
    const all = [...drawn.map((column) => `v.d${column.index}`), ...list].join(', ');
    const overriding = columns.some((column) => column.generatedAlways) ? ' OVERRIDING SYSTEM VALUE' : '';
    const returned = [...new Set([...mapping.keyColumns, ...answered])];
    ctes.push(
      `i${at} AS (INSERT INTO ${mapping.table} (${sqlNames(columns)})${overriding} SELECT ${all} FROM v${at} AS v${parents.join('')} ORDER BY v.n RETURNING ${sqlNames(returned)})`,
    );
    answers.push(`(SELECT count(*) FROM i${at})`);
    if (answered.length === 0) return;
    // A key that was not drawn here finds its row by the value that was sent for it.
    const same = mapping.keyColumns.map((column) => `i.${column.sql} = ${keySource(column, keys, drawn)}`);
    const through = keys
      .filter(({ column }) => column.isKey)
      .map(({ column, from }) => ` JOIN v${from} AS p${column.index} ON p${column.index}.n = v.r${column.index}`);
    joins.push(
      ` LEFT JOIN (SELECT v.n, ${answered.map((column) => `i.${column.sql} AS a${column.index}`).join(', ')} FROM v${at} AS v${through.join('')} JOIN i${at} AS i ON ${same.join(' AND ')}) AS a${at} ON a${at}.n = g.n`,
    );
    answers.push(...answered.map((column) => `a${at}.a${column.index}`));
  });
  return `WITH ${ctes.join(', ')} SELECT g.n, ${answers.join(', ')} FROM generate_series(1, $${++parameter}::int) AS g(n)${joins.join('')}`;
}

function keySource(column: ColumnMapping, keys: readonly KeyColumn[], drawn: readonly ColumnMapping[]): string {
  if (drawn.includes(column)) return `v.d${column.index}`;
  const taken = keys.find((key) => key.column === column);
  if (taken !== undefined) return `p${column.index}.d${taken.key.index}`;
  return column.castsElement ? `v.c${column.index}::${column.type}` : `v.c${column.index}`;
}

function settle(chain: readonly Link[], result: StatementResult): void {
  const rows = result.rows as unknown[][];
  let at = 1;
  for (const { step, answered } of chain) {
    const { mapping, changes } = step;
    const count = Number(rows[0]?.[at++] ?? 0);
    expectInserted(mapping, changes.length, count);
    for (const row of rows) {
      const change = changes[Number(row[0]) - 1];
      if (change === undefined) continue;
      for (let offset = 0; offset < answered.length; offset++) change.answer(answered[offset]!, row[at + offset]);
    }
    at += answered.length;
  }
}

function shapeOf({ step, keys }: Link): string {
  const first = step.changes[0]!;
  const columns = step.mapping.columns.map((column) => {
    const value = first.values[column.index];
    if (value === undefined) return '0';
    if (value instanceof SqlExpression) return `(${value.sql})`;
    const key = keys.find((one) => one.column === column);
    return key === undefined ? '1' : `k${key.from}.${key.key.index}`;
  });
  return `${step.mapping.name}:${columns.join('')}`;
}
