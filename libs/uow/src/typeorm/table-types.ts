import type { DataSource } from 'typeorm';

/** The type of a column in its table, where the mapping says another. */
export interface TableType {
  /** As the server writes it, such as `uuid` or `numeric(12,2)`. */
  readonly type: string;
  /** The type that a domain is over, without length or precision; else the type itself. */
  readonly base: string;
}

/** What of a mapping is compared with its table. */
export interface MappedColumn {
  /** Quoted path. */
  readonly table: string;
  readonly name: string;
  readonly type: string;
}

const QUESTION = `
  SELECT w.n::int AS place, format_type(a.atttypid, a.atttypmod) AS type,
         format_type(coalesce(nullif(t.typbasetype, 0), t.oid), NULL) AS base
    FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS w(tab, col, type, n)
    JOIN pg_attribute AS a ON a.attrelid = to_regclass(w.tab) AND a.attname = w.col AND NOT a.attisdropped
    JOIN pg_type AS t ON t.oid = a.atttypid
   WHERE a.atttypid IS DISTINCT FROM to_regtype(w.type)`;

/**
 * Asks the database which columns have other types than their mappings say. A table made by a migration may keep a
 * `uuid` or an enum where the entity says `varchar`; a statement for many rows has to name what is there.
 */
export async function typesOfTables(
  dataSource: DataSource,
  columns: readonly MappedColumn[],
): Promise<Map<MappedColumn, TableType>> {
  const runner = dataSource.createQueryRunner();
  try {
    const rows = (await runner.query(QUESTION, [
      columns.map(({ table }) => table),
      columns.map(({ name }) => name),
      columns.map(({ type }) => type),
    ])) as ({ place: number } & TableType)[];
    return new Map(rows.map(({ place, type, base }) => [columns[place - 1]!, { type, base }]));
  } finally {
    await runner.release();
  }
}
