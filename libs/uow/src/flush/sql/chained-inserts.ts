import type { ColumnMapping } from '../../database/entity-mapping.js';
import type { ArrayResult } from '../../database/statement.js';
import { KeyOfInsert, SqlExpression, isKnown, resolved } from '../change-set.js';
import type { FlushStep, InsertStep } from '../flush-plan.js';
import { answersSql, answersWidth, takeAnswers } from './answers.js';
import { arrayParameter } from './array-parameter.js';
import type { BoundStatement } from './bound-statement.js';
import { FEW_INSERTS, fewInserts } from './few-inserts.js';
import { insertParts, notInserted, overriding, sqlNames } from './insert-parts.js';
import type { InsertParts } from './insert-parts.js';
import { typed } from './row-source.js';
import { failWith } from './stale-marker.js';
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
  readonly parts: InsertParts;
  readonly keys: readonly KeyColumn[];
  /** Columns whose values it brings along itself. */
  readonly given: readonly ColumnMapping[];
}

/**
 * The longest run of insert steps, from a position on, in which later steps need keys of earlier ones.
 * @returns null where there is none
 */
export function chainFrom(steps: readonly FlushStep[], start: number): Link[] | null {
  const chain: Link[] = [];
  let length = 0;
  for (let at = start; at < steps.length; at++) {
    const step = steps[at]!;
    if (step.kind !== 'insert') break;
    const link = linkOf(step, chain);
    if (link === null) break;
    chain.push(link);
    if (link.keys.length > 0) length = chain.length;
  }
  return length < 2 ? null : chain.slice(0, length);
}

/** Null where the step cannot be a link: it needs a key from elsewhere, or one that cannot be drawn beforehand. */
function linkOf(step: InsertStep, chain: readonly Link[]): Link | null {
  const { changes } = step;
  for (let row = 0; row < changes.length; row++) {
    const change = changes[row]!;
    change.step = step;
    change.ordinal = row + 1;
  }
  const first = changes[0]!;
  const parts = insertParts(first);
  const keys: KeyColumn[] = [];
  for (const column of parts.given) {
    const value = first.values[column.index];
    if (isKnown(value)) {
      for (const change of changes) if (!isKnown(change.values[column.index])) return null;
      continue;
    }
    const { insert, column: key } = value as KeyOfInsert;
    const parents = insert.step;
    const from = chain.findIndex((link) => link.step === parents);
    if (from === -1 || !chain[from]!.parts.missingKeys.includes(key)) return null;
    for (const change of changes) {
      const other = change.values[column.index];
      if (!(other instanceof KeyOfInsert) || other.column !== key || other.insert.step !== parents) return null;
    }
    keys.push({ column, from, key });
  }
  const given = keys.length === 0 ? parts.given : parts.given.filter((column) => isKnown(first.values[column.index]));
  if (parts.missingKeys.some((column) => column.drawSql === null)) return null;
  if (keys.length === 0 && given.every((column) => first.values[column.index] instanceof SqlExpression)) return null;
  return { step, parts, keys, given };
}

/** The one statement for a chain. */
export function chainedInserts(chain: readonly Link[]): BoundStatement {
  if (chain.reduce((sum, { step }) => sum + step.changes.length, 0) <= FEW_INSERTS) return fewInserts(chain);
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

  const { mapping } = chain[0]!.step;
  const { id, text } = textOf(mapping, `chain/${chain.map(shapeOf).join('+')}`, (number) => textFor(number, chain));
  const changes = chain.flatMap(({ step }) => step.changes);
  return {
    id,
    changes,
    statement: arrayRows(text, values),
    refused([at = 0, reported = 0], cause) {
      const { mapping, changes: sent } = chain[at]!.step;
      return notInserted(mapping, sent.length, reported, cause);
    },
    settle(result) {
      settle(chain, result);
    },
  };
}

function textFor(number: number, chain: readonly Link[]): string {
  let parameter = 0;
  const ctes: string[] = [];
  chain.forEach(({ step, parts: { missingKeys: drawn, answered }, keys, given }, at) => {
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
      list.push(typed(`v.c${column.index}`, column));
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
    const returned = [...new Set([...mapping.keyColumns, ...answered])];
    ctes.push(
      `i${at} AS (INSERT INTO ${mapping.table} (${sqlNames(columns)})${overriding(columns)} SELECT ${all} FROM v${at} AS v${parents.join('')} ORDER BY v.n RETURNING ${sqlNames(returned)})`,
    );
  });
  const answers = chain.flatMap(({ parts }, at) => (parts.answered.length === 0 ? [] : [answersOf(chain, at)]));
  const from = answers.length === 0 ? '' : ` FROM ${answers.join(', ')}`;
  const all = answers.length === 0 ? '' : ', *';
  return `WITH ${ctes.join(', ')} SELECT ${checkOf(number, chain)}${all}${from}`;
}

/** What one link brings back, in FROM. */
function answersOf(chain: readonly Link[], at: number): string {
  const { step, parts, keys } = chain[at]!;
  const { missingKeys: drawn, answered } = parts;
  // A key that was not drawn here finds its row by the value that was sent for it.
  const same = step.mapping.keyColumns.map((column) => `i.${column.sql} = ${keySource(column, keys, drawn)}`);
  const through = keys
    .filter(({ column }) => column.isKey)
    .map(({ column, from }) => ` JOIN v${from} AS p${column.index} ON p${column.index}.n = v.r${column.index}`);
  const rows = {
    from: `v${at} AS v${through.join('')} JOIN i${at} AS i ON ${same.join(' AND ')}`,
    table: `i${at}`,
    alias: 'i',
    ordinal: 'v.n',
    sent: `v${at}`,
  };
  return `(${answersSql(answered, rows)}) AS a${at}`;
}

/** Fails where a link has stored another number of rows than it was sent, with its number and that of the rows. */
function checkOf(number: number, chain: readonly Link[]): string {
  const checks = chain.flatMap(({ step }, at) => {
    if (!step.mapping.confirmRows) return [`(SELECT count(*) FROM i${at})`];
    const fails = failWith(number, `'${at},' || count(*)`);
    return [`(SELECT CASE WHEN count(*) <> (SELECT count(*) FROM v${at}) THEN ${fails} ELSE 0 END FROM i${at})`];
  });
  return checks.join(' + ');
}

function keySource(column: ColumnMapping, keys: readonly KeyColumn[], drawn: readonly ColumnMapping[]): string {
  if (drawn.includes(column)) return `v.d${column.index}`;
  const taken = keys.find((key) => key.column === column);
  if (taken !== undefined) return `p${column.index}.d${taken.key.index}`;
  return typed(`v.c${column.index}`, column);
}

function settle(chain: readonly Link[], result: ArrayResult): void {
  let position = 1;
  for (const { step, parts } of chain) {
    const { answered } = parts;
    if (answered.length === 0) continue;
    takeAnswers(result, position, answered, step.changes);
    position += answersWidth(answered);
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
