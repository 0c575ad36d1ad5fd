import { blankArray } from '../database/blank-array.js';
import type { ColumnMapping, EntityMapping, Snapshot } from '../database/entity-mapping.js';

/**
 * What one flush has to do to one row. Values are parameters already, taken in the synchronous step that
 * starts the flush, so what happens to the objects meanwhile changes nothing. `subject` is the session's own
 * record of the object; this folder hands it back and never looks into it.
 */
export type Change = InsertChange | UpdateChange | DeleteChange | DetachChange;

/** A row of which the database may answer some columns. */
interface AnsweredChange {
  readonly mapping: EntityMapping;
  /** By column index; null until something was answered. */
  returned: unknown[] | null;
}

/** What the database answered for a column; undefined where it was not asked, or has not answered yet. */
export function answerFor({ returned }: AnsweredChange, column: ColumnMapping): unknown {
  return returned?.[column.index];
}

export function noteAnswer(change: AnsweredChange, column: ColumnMapping, value: unknown): void {
  (change.returned ??= blankArray(change.mapping.columns.length))[column.index] = value;
}

/** A new row. `values` goes by column index; `undefined` leaves the column to the database. */
export class InsertChange implements AnsweredChange {
  readonly kind = 'insert';
  returned: unknown[] | null = null;
  /** Foreign keys that an update sets after the insert, by column index, because they are part of a circle. */
  later: unknown[] | null = null;
  /** The step that inserts it, and its place there, from 1, by which other rows of a statement refer to it. */
  step: object | null = null;
  ordinal = 0;
  #keys: readonly KeyOfInsert[] = NO_KEYS;

  constructor(
    readonly mapping: EntityMapping,
    readonly subject: object | null,
    readonly values: unknown[],
  ) {}

  /** The stored value of a column; undefined while only the database will know it. */
  stored(column: ColumnMapping): unknown {
    const value = this.values[column.index];
    return value === undefined ? answerFor(this, column) : value instanceof KeyOfInsert ? value.value() : value;
  }

  /** Its key as the foreign key of other rows, for as long as only the database will know it. */
  keyOf(column: ColumnMapping): KeyOfInsert {
    for (const key of this.#keys) if (key.column === column) return key;
    const key = new KeyOfInsert(this, column);
    // Not a literal: see docs/decisions/0002.
    this.#keys = this.#keys.length === 0 ? Array.of(key) : [...this.#keys, key];
    return key;
  }
}

/** New values for a row that exists. */
export class UpdateChange implements AnsweredChange {
  readonly kind = 'update';
  returned: unknown[] | null = null;

  constructor(
    readonly mapping: EntityMapping,
    readonly subject: object | null,
    /** Parameters of the key columns, as the row has them now. */
    readonly key: readonly unknown[],
    /** Columns to set and their parameters, pairwise, by column index ascending. */
    readonly columns: readonly ColumnMapping[],
    readonly values: unknown[],
    public guard: RowGuard,
    /** The row as it was read; null where it was not. */
    readonly before: Snapshot | null = null,
  ) {}
}

/** A row to delete. */
export class DeleteChange {
  readonly kind = 'delete';
  /** Rows of the same flush that are deleted too, and that this row refers to. */
  readonly references: RowReference[] = [];

  constructor(
    readonly mapping: EntityMapping,
    readonly subject: object | null,
    readonly key: readonly unknown[],
    readonly guard: RowGuard,
    /** The row as it was read; null where it was not. */
    readonly before: Snapshot | null = null,
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
export class RowGuard {
  /**
   * @param columns columns whose old values are checked
   * @param values the parameters of those values
   * @param isLocked true when this transaction already holds the row's lock, so that no order needs to be kept
   * @param mustExist false where the caller does not mind that the row is gone
   * @param version parameter of the expected version; undefined without a version column
   */
  constructor(
    readonly columns: readonly ColumnMapping[],
    readonly values: readonly unknown[],
    readonly isLocked: boolean,
    readonly mustExist: boolean,
    readonly version?: unknown,
  ) {}
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

const NO_KEYS: readonly KeyOfInsert[] = [];

/** SQL in place of a value. */
export class SqlExpression {
  constructor(readonly sql: string) {}
}

/** The value itself, also of a key that was generated meanwhile. */
export function resolved(value: unknown): unknown {
  return value instanceof KeyOfInsert ? value.value() : value;
}

/** False for the key of a new row that the database has not given yet. */
export function isKnown(value: unknown): boolean {
  return !(value instanceof KeyOfInsert) || value.value() !== undefined;
}
