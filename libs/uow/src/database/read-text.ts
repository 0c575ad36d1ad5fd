/**
 * What the server sent for a value that the client's own form may not hold in full: a number in json has more digits
 * than a double, a timestamp in an array more than milliseconds. Rows of entities keep its text beside the parsed
 * value, because a check on the old value must send what the server has, not what was left of it.
 */
export class ReadText {
  readonly #parse: (text: string) => unknown;

  constructor(
    readonly text: string,
    parse: (text: string) => unknown,
  ) {
    this.#parse = parse;
  }

  /** A fresh value, by the application's own type parser. */
  value(): unknown {
    return this.#parse(this.text);
  }
}

/** json, jsonb, interval, and arrays of them, of numeric, of point, of date and of timestamps. */
const KEPT_AS_TEXT = new Set([114, 3802, 1186, 199, 3807, 1187, 1231, 1017, 1182, 1115, 1185]);

/** Where an application's type parsers are found. */
export interface TypeParsers {
  getTypeParser(oid: number, format: 'text'): (text: string) => unknown;
}

const readingParsers = new WeakMap<object, TypeParsers>();

/** A client's type parsers, but for the types whose text is kept. */
export function readingText(types: TypeParsers): TypeParsers {
  let reading = readingParsers.get(types);
  if (reading === undefined) {
    reading = {
      getTypeParser: (oid, format) => {
        const parse = types.getTypeParser(oid, format);
        if (!KEPT_AS_TEXT.has(oid)) return parse;
        return (text) => new ReadText(text, parse);
      },
    };
    readingParsers.set(types, reading);
  }
  return reading;
}

/** The value that the client knows, whether its text was kept or not. */
export function valueRead(raw: unknown): unknown {
  return raw instanceof ReadText ? raw.value() : raw;
}
