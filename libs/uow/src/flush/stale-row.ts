import type { ColumnMapping } from '../database/entity-mapping.js';
import type { Statement, StatementResult } from '../database/statement.js';
import { StaleDataError } from '../errors/flush-errors.js';
import { resolved } from './change-set.js';
import type { DeleteChange, UpdateChange } from './change-set.js';

/**
 * A row that a flush found to be other than expected: the error that says so, and the question for what is there
 * now. The question is asked afterwards, on another connection, so its answer may be newer than what the
 * statement met.
 */
export class StaleRow {
  readonly error: StaleDataError;
  readonly #change: UpdateChange | DeleteChange;

  /**
   * @param change what was to be written
   * @param count how many rows of its statement were stale; counted up to ten
   * @param cause the server's error
   */
  constructor(change: UpdateChange | DeleteChange, count: number, cause: unknown) {
    this.#change = change;
    const { mapping, guard } = change;
    const key = Object.fromEntries(mapping.keyColumns.map((column, at) => [column.path, resolved(change.key[at])]));
    const others = count > 1 ? ` (and ${count - 1}${count === 10 ? ' or more' : ''} other rows)` : '';
    const because =
      guard.version === undefined
        ? 'the row was changed or deleted by somebody else since it was read'
        : `it was read with version ${shownValue(guard.version)}, and the row was changed or deleted since`;
    this.error = new StaleDataError(
      `${change.kind === 'delete' ? 'DELETE' : 'UPDATE'} of ${mapping.name} with ${shown(key)}${others}: ${because}. Roll back, read it again and repeat, or lock it before changing it ({ lock: 'update' }).`,
      mapping.name,
      key,
      guard.version,
      { cause },
    );
  }

  /** Reads the columns that were checked. */
  get question(): Statement {
    const { mapping, key } = this.#change;
    const columns = this.#columns;
    const list = columns.length === 0 ? '1' : columns.map((column) => `t.${column.sql}`).join(', ');
    const where = mapping.keyColumns.map((column, at) => `t.${column.sql} = $${at + 1}`).join(' AND ');
    return {
      text: `SELECT ${list} FROM ${mapping.table} AS t WHERE ${where}`,
      values: key.map(resolved),
      rowMode: 'array',
    };
  }

  /** Completes the error with what the question brought. */
  take(result: StatementResult): void {
    const row = (result.rows as unknown[][])[0];
    if (row === undefined) {
      this.error.found = null;
      this.error.message += ' The row is gone.';
      return;
    }
    const { guard } = this.#change;
    const values = this.#columns.map((column, at) => column.fromRow(row[at]));
    if (guard.version !== undefined) {
      this.error.found = values[0];
      this.error.message += ` Found version ${shownValue(values[0])}.`;
      return;
    }
    this.error.found = Object.fromEntries(this.#columns.map((column, at) => [column.path, values[at]]));
  }

  get #columns(): readonly ColumnMapping[] {
    const { mapping, guard } = this.#change;
    return guard.version === undefined ? guard.columns : [mapping.version!];
  }
}

function shown(key: object): string {
  return Object.entries(key)
    .map(([path, value]) => `${path} ${shownValue(value)}`)
    .join(', ');
}

function shownValue(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
