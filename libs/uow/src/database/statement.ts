/** One SQL statement with its parameters, as the rooms above hand it to a connection. */
export interface Statement {
  /** One statement of SQL; `$1`, `$2`, … stand for the values. */
  readonly text: string;
  /** Parameter values; the driver's conversion applies (Date, Buffer, arrays, objects as JSON). */
  readonly values?: readonly unknown[] | undefined;
  /** Rows as objects by column name (default), or as arrays in column order: cheaper, and with `ReadText` in them. */
  readonly rowMode?: 'object' | 'array' | undefined;
  /** Turns what the server said of this statement into an error that tells more; `null` leaves it as it is. */
  readonly explain?: ((driverError: Error) => Error | null) | undefined;
  /** False keeps a text that will not come again out of the prepared statements. */
  readonly prepare?: boolean | undefined;
}

/** A column of a result. */
export interface ResultField {
  readonly name: string;
  /** PostgreSQL's type oid. */
  readonly dataTypeID: number;
}

/** What one statement answered: the shape of node-postgres' own `Result`. */
export interface StatementResult {
  /** First word of the command tag: `SELECT`, `UPDATE`, `COMMIT`, … */
  command: string | null;
  /** Rows returned or affected; `null` where the tag has no count. */
  rowCount: number | null;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- a row's shape is known to whoever wrote the SQL
  rows: any[];
  readonly fields: readonly ResultField[];
}

/** What a statement answered whose rows are wanted as arrays. */
export interface ArrayResult extends StatementResult {
  /**
   * The elements of an array that came as text.
   * @param like position of the column whose values are read as each element is to be; null leaves them texts
   */
  elements(array: string, like: number | null): unknown[];
}
