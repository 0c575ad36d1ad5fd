import type { EntityMetadata } from 'typeorm';
import type { RowReader } from '../database/entity-mapping.js';
import { valueRead } from '../database/read-text.js';
import { compileSetter, embeddedPath } from './property-access.js';

/**
 * TypeORM's `@VirtualColumn`: a property that every read computes by SQL. It is no part of a row's picture, so
 * setting it is no change, and nothing ever writes it.
 */
export interface ReadColumn {
  /** How TypeORM's builder names it in an answer. */
  readonly name: string;
  readonly sql: (alias: string) => string;
  readonly set: (entity: object, value: unknown) => void;
}

/** The virtual columns of an entity that its reads select. */
export function virtualColumnsOf(metadata: EntityMetadata): ReadColumn[] {
  return metadata.columns.flatMap((column) => {
    const { query } = column;
    if (!column.isVirtualProperty || query === undefined || !column.isSelect) return [];
    return [
      {
        name: column.databaseName,
        sql: (alias: string) => `(${query(alias)})`,
        set: compileSetter(embeddedPath(column.embeddedMetadata), column.propertyName),
      },
    ];
  });
}

/** Lets a reader set virtual columns, too, from where they stand in the row. */
export function withVirtualColumns(
  reader: RowReader,
  columns: readonly { readonly column: ReadColumn; readonly position: number }[],
): RowReader {
  const present = columns.filter(({ position }) => position !== -1);
  if (present.length === 0) return reader;
  return {
    positions: reader.positions,
    missing: reader.missing,
    key: (row) => reader.key(row),
    load: (entity, row, base) => {
      // Reading may use up the row.
      const values = present.map(({ position }) => row[position]);
      const snapshot = reader.load(entity, row, base);
      present.forEach(({ column }, at) => {
        column.set(entity, valueRead(values[at]));
      });
      return snapshot;
    },
  };
}
