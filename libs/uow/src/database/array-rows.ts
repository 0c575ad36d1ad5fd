import type { PgResult } from './pg-driver.js';
import type { TypeParsers } from './read-text.js';
import { arrayElements } from './array-elements.js';
import type { ArrayResult, ResultField } from './statement.js';
import { quickParser } from './timestamp-parser.js';

const NO_FIELDS: readonly ResultField[] = Object.freeze([]);
const NO_PARSERS: readonly never[] = Object.freeze([]);

/** The answer to a statement whose rows are wanted as arrays: the driver's own result without what that does for objects. */
export class ArrayRows implements PgResult, ArrayResult {
  command: string | null = null;
  rowCount: number | null = null;
  readonly rows: unknown[][] = [];
  fields: readonly ResultField[] = NO_FIELDS;
  readonly #types: TypeParsers;
  #parsers: readonly ((text: string) => unknown)[] = NO_PARSERS;

  /** @param fields where they are known before the server tells them */
  constructor(types: TypeParsers, fields: readonly ResultField[] | null) {
    this.#types = types;
    if (fields !== null && fields.length > 0) this.addFields(fields);
  }

  addFields(fields: readonly ResultField[]): void {
    this.fields = fields;
    this.#parsers = fields.map(({ dataTypeID }) => quickParser(this.#types.getTypeParser(dataTypeID, 'text')));
  }

  /** Makes the row in the array that its texts came in: nobody else has it, and there is one for each row. */
  parseRow(texts: (string | null)[]): unknown[] {
    const parsers = this.#parsers;
    const row: unknown[] = texts;
    for (let at = 0; at < texts.length; at++) {
      const text = texts[at] as string | null;
      if (text !== null) row[at] = parsers[at]!(text);
    }
    return row;
  }

  elements(array: string, like: number | null): unknown[] {
    const elements: unknown[] = arrayElements(array);
    if (like === null) return elements;
    const parse = this.#parsers[like]!;
    for (let at = 0; at < elements.length; at++) {
      if (elements[at] !== null) elements[at] = parse(elements[at] as string);
    }
    return elements;
  }

  /** Such as `SELECT 5`, `INSERT 0 1`, `COMMIT`. */
  addCommandComplete({ text }: { text: string }): void {
    const space = text.indexOf(' ');
    if (space === -1) {
      this.command = text;
      return;
    }
    this.command = text.slice(0, space);
    const count = Number(text.slice(text.lastIndexOf(' ') + 1));
    if (!Number.isNaN(count)) this.rowCount = count;
  }
}
