import type {
  ColumnMapping,
  EntityMapping,
  IdentityKey,
  RelationMapping,
  RowReader,
  Snapshot,
} from '../database/entity-mapping.js';
import type { Statement } from '../database/statement.js';
import { isAmong } from '../flush/sql/row-source.js';

/** The SQL by which relations are loaded: rows by the values of some columns, however many values there are. */

/** A query for what objects refer to, or what refers to them, and where its rows say whom they belong to. */
export interface RelatedRows {
  readonly statement: Statement;
  /** Positions in a row of the values by which it is found. */
  readonly positions: readonly number[];
}

/** What is read of the objects in a relation. */
export interface Picked {
  readonly mapping: EntityMapping;
  /** Columns of the table `t`. */
  readonly list: string;
  readonly reader: RowReader;
  /** What keeps soft-deleted rows of `t` out, behind a condition. */
  readonly alive: string;
}

/** @param select the columns to read; null for all */
export function pick(
  { target, referencedColumns, inverse }: RelationMapping,
  select: readonly ColumnMapping[] | null = null,
  withDeleted = false,
): Picked {
  const alive = withDeleted || target.deleteDate === null ? '' : ` AND t.${target.deleteDate.sql} IS NULL`;
  if (select === null) return { mapping: target, list: target.selectList('t'), reader: target.reader, alive };
  // The foreign key tells whose they are, also later.
  const columns = [...new Set([...select, ...referencedColumns, ...(inverse?.joinColumns ?? [])])];
  return {
    mapping: target,
    list: columns.map((column) => `t.${column.sql}`).join(', '),
    reader: target.readerFor(target.columns.map((column) => columns.findIndex(({ name }) => name === column.name))),
    alive,
  };
}

/** Rows of a table by the values of some columns: an array for each column. */
export function selectByColumns(
  { mapping, list, reader, alive }: Picked,
  columns: readonly ColumnMapping[],
  values: readonly unknown[][],
): RelatedRows {
  const { positions } = reader;
  const kind = discriminatorCondition(mapping, 't');
  const isRead = columns.every((column) => (positions[column.index] ?? -1) !== -1);
  const behind = isRead ? '' : columns.map((column) => `, t.${column.sql}`).join('');
  return {
    statement: {
      text: `SELECT ${list}${behind} FROM ${mapping.table} AS t WHERE ${isAmong(columns, 't')}${alive}${kind} ORDER BY ${keysOf(mapping, 't')}`,
      values,
      rowMode: 'array',
    },
    positions: isRead ? columns.map((column) => positions[column.index]!) : columns.map((_, at) => at - columns.length),
  };
}

/** Rows of the other side of a many-to-many relation, with the values of this side behind them. */
export function selectThroughJunction(
  relation: RelationMapping,
  { list, alive }: Picked,
  values: readonly unknown[][],
): RelatedRows {
  const { target } = relation;
  const junction = relation.junction!;
  const own = relation.junctionSource.map(({ column }) => column);
  const on = relation.junctionTarget.map(({ column, referenced }) => `t.${referenced.sql} = j.${column.sql}`);
  return {
    statement: {
      text:
        `SELECT ${list}${own.map((column) => `, j.${column.sql}`).join('')} FROM ${junction.table} AS j ` +
        `JOIN ${target.table} AS t ON ${on.join(' AND ')} WHERE ${isAmong(own, 'j')}${alive} ORDER BY ${keysOf(target, 't')}`,
      values,
      rowMode: 'array',
    },
    positions: own.map((_, at) => at - own.length),
  };
}

export function keysOf(mapping: EntityMapping, alias: string): string {
  return mapping.keyColumns.map((column) => `${alias}.${column.sql}`).join(', ');
}

/** Rows of values as an array for each column. */
export function byColumn(columns: readonly ColumnMapping[], rows: readonly (readonly unknown[])[]): unknown[][] {
  return columns.map((_, at) => rows.map((row) => row[at]));
}

/** The condition that keeps a child of a single-table hierarchy to its own rows. */
function discriminatorCondition(mapping: EntityMapping, alias: string): string {
  if (mapping.discriminator === null || mapping.root === mapping) return '';
  const values = mapping.hierarchy.flatMap((one) =>
    one.discriminatorValue === null ? [] : [`'${one.discriminatorValue.replaceAll("'", "''")}'`],
  );
  return ` AND ${alias}.${mapping.discriminator.sql} IN (${values.join(', ')})`;
}

/** Stored values of columns as one key, or null where one of them is. */
export function keyOfValues(columns: readonly ColumnMapping[], values: readonly unknown[]): IdentityKey | null {
  if (columns.length === 1) return keyOfOne(columns[0]!, values[0]);
  let key = '';
  for (let at = 0; at < columns.length; at++) {
    const part = keyOfOne(columns[at]!, values[at]);
    if (part === null) return null;
    // With its length, so that parts cannot run into each other.
    key += `${String(part).length}:${part};`;
  }
  return key;
}

function keyOfOne(column: ColumnMapping, value: unknown): IdentityKey | null {
  return value === null || value === undefined ? null : column.keyPart(value);
}

/** The same for the values that a snapshot has. */
export function keyOfSnapshot(columns: readonly ColumnMapping[], snapshot: Snapshot): IdentityKey | null {
  if (columns.length === 1) return keyOfOne(columns[0]!, columns[0]!.storedParameter(snapshot));
  return keyOfValues(
    columns,
    columns.map((column) => column.storedParameter(snapshot)),
  );
}

/** The same for the values of a row; positions below zero count from its end. */
export function keyOfRow(
  columns: readonly ColumnMapping[],
  row: readonly unknown[],
  positions: readonly number[],
): IdentityKey | null {
  if (columns.length === 1) return keyOfOne(columns[0]!, row.at(positions[0]!));
  return keyOfValues(
    columns,
    positions.map((position) => row.at(position)),
  );
}
