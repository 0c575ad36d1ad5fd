import type { ColumnMapping, EntityMapping } from '../database/entity-mapping.js';

/**
 * What one flush has to do to one row. Values are parameters already, taken in the synchronous step that
 * starts the flush, so what happens to the objects meanwhile changes nothing. `subject` is the session's own
 * record of the object; this folder hands it back and never looks into it.
 */
export type Change = InsertChange | UpdateChange | DeleteChange | DetachChange;

/** A new row. `values` goes by column index; `undefined` leaves the column to the database. */
export class InsertChange {
  readonly kind = 'insert';
  /** What the database answered, by column index, once the row is there. */
  readonly returned: unknown[] = [];
  isDone = false;
  /** Foreign keys that an update sets after the insert, by column index, because they are part of a circle. */
  readonly later: unknown[] = [];

  constructor(
    readonly mapping: EntityMapping,
    readonly subject: object | null,
    readonly values: unknown[],
  ) {}

  /** The stored value of a column; undefined while only the database will know it. */
  stored(column: ColumnMapping): unknown {
    const value = this.values[column.index];
    return value === undefined ? this.returned[column.index] : value instanceof KeyOfInsert ? value.value() : value;
  }
}

/** New values for a row that exists. */
export class UpdateChange {
  readonly kind = 'update';
  /** The stored value of a column before the change; null where the row was not read. */
  stored: ((column: ColumnMapping) => unknown) | null = null;
  readonly returned: unknown[] = [];
  isDone = false;

  constructor(
    readonly mapping: EntityMapping,
    readonly subject: object | null,
    /** Parameters of the key columns, as the row has them now. */
    readonly key: readonly unknown[],
    /** Columns to set and their parameters, pairwise, by column index ascending. */
    readonly columns: readonly ColumnMapping[],
    readonly values: unknown[],
    public guard: RowGuard,
  ) {}
}

/** A row to delete. */
export class DeleteChange {
  readonly kind = 'delete';
  /** The stored value of a column; null where the row was not read. */
  stored: ((column: ColumnMapping) => unknown) | null = null;
  isDone = false;
  /** Rows of the same flush that are deleted too, and that this row refers to. */
  readonly references: RowReference[] = [];

  constructor(
    readonly mapping: EntityMapping,
    readonly subject: object | null,
    readonly key: readonly unknown[],
    readonly guard: RowGuard,
  ) {}
}

/** A row that goes refers, by some columns, to another that goes. */
export interface RowReference {
  readonly columns: readonly ColumnMapping[];
  readonly to: DeleteChange;
}

/** Rows that refer to rows which the flush deletes, found by their foreign key: cut off, or deleted from a join table. */
export class DetachChange {
  readonly kind = 'detach';

  constructor(
    readonly mapping: EntityMapping,
    readonly action: 'nullify' | 'delete',
    /** The foreign key's columns. */
    readonly columns: readonly ColumnMapping[],
    /** The foreign keys to look for. */
    readonly keys: readonly (readonly unknown[])[],
  ) {}
}

/** What must still hold of a row for it to be written. */
export interface RowGuard {
  /** Parameter of the expected version; undefined without a version column. */
  readonly version?: unknown;
  /** Columns whose old values are checked, with the parameters of those values. */
  readonly columns: readonly ColumnMapping[];
  readonly values: readonly unknown[];
  /** True when this transaction already holds the row's lock, so that no order needs to be kept. */
  readonly isLocked: boolean;
  /** False where the caller does not mind that the row is gone. */
  readonly mustExist: boolean;
}

/** A foreign key's value that is the key of a row which the same flush inserts. */
export class KeyOfInsert {
  constructor(
    readonly insert: InsertChange,
    readonly column: ColumnMapping,
  ) {}

  /** The key; undefined until the database has given it. */
  value(): unknown {
    return this.insert.stored(this.column);
  }
}

/** SQL in place of a value. */
export class SqlExpression {
  constructor(readonly sql: string) {}
}

/** The value itself, also of a key that was generated meanwhile. */
export function resolved(value: unknown): unknown {
  return value instanceof KeyOfInsert ? value.value() : value;
}
