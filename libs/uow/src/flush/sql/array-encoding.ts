import { BinaryArray } from '../../database/binary-array.js';
import type { ColumnMapping } from '../../database/entity-mapping.js';
import { isCommonInstant } from './array-parameter.js';

/**
 * One-dimensional arrays in PostgreSQL's binary form. The server takes numbers and instants from it as they are, where
 * it would have to read each from a text, and nothing in a text needs an escape.
 */

interface ElementEncoding {
  readonly oid: number;
  /** Null where a value is none that the encoding knows. */
  encode(values: readonly unknown[], oid: number): Buffer | null;
}

const INTEGER: ElementEncoding['encode'] = (values, oid) =>
  fixedWidth(values, oid, 4, isBetween(-2_147_483_648, 2_147_483_647), (view, at, value) => {
    view.setInt32(at, value as number);
  });

const SMALLINT: ElementEncoding['encode'] = (values, oid) =>
  fixedWidth(values, oid, 2, isBetween(-32_768, 32_767), (view, at, value) => {
    view.setInt16(at, value as number);
  });

const BIGINT: ElementEncoding['encode'] = (values, oid) =>
  fixedWidth(
    values,
    oid,
    8,
    (value) => Number.isSafeInteger(value) || (typeof value === 'bigint' && BigInt.asIntN(64, value) === value),
    (view, at, value) => {
      view.setBigInt64(at, BigInt(value as number | bigint));
    },
  );

const DOUBLE: ElementEncoding['encode'] = (values, oid) =>
  fixedWidth(
    values,
    oid,
    8,
    (value) => typeof value === 'number',
    (view, at, value) => {
      // As its text would be, 0 has no sign.
      view.setFloat64(at, (value as number) + 0);
    },
  );

const BOOLEAN: ElementEncoding['encode'] = (values, oid) =>
  fixedWidth(
    values,
    oid,
    1,
    // TypeORM makes numbers of booleans where the column's type is told by the class.
    (value) => typeof value === 'boolean' || value === 0 || value === 1,
    (view, at, value) => {
      view.setUint8(at, Number(value));
    },
  );

const TIMESTAMPTZ: ElementEncoding['encode'] = (values, oid) =>
  fixedWidth(values, oid, 8, isCommonInstant, (view, at, value) => {
    const milliseconds = (value as Date).getTime() - EPOCH;
    // Microseconds are more than a double holds: its upper and lower half are multiplied apart.
    const upper = Math.floor(milliseconds / HALF);
    const lower = (milliseconds - upper * HALF) * 1_000;
    const carry = Math.floor(lower / HALF);
    view.setInt32(at, upper * 1_000 + carry);
    view.setUint32(at + 4, lower - carry * HALF);
  });

const HALF = 2 ** 32;
/** Where PostgreSQL begins to count. */
const EPOCH = Date.UTC(2000, 0, 1);

function isBetween(least: number, most: number): (value: unknown) => boolean {
  return (value) => Number.isInteger(value) && (value as number) >= least && (value as number) <= most;
}

const TEXT: ElementEncoding['encode'] = (values, oid) => texts(values, oid, -1);

/** A document stands behind the number of its format's version. */
const JSONB: ElementEncoding['encode'] = (values, oid) => texts(values, oid, 1);

/** By the element type of parameter arrays. Types that are missing have no binary form that is worth it. */
const ENCODINGS = new Map<string, ElementEncoding>([
  ['integer', { oid: 23, encode: INTEGER }],
  ['smallint', { oid: 21, encode: SMALLINT }],
  ['bigint', { oid: 20, encode: BIGINT }],
  ['double precision', { oid: 701, encode: DOUBLE }],
  ['boolean', { oid: 16, encode: BOOLEAN }],
  ['timestamptz', { oid: 1184, encode: TIMESTAMPTZ }],
  ['text', { oid: 25, encode: TEXT }],
  ['varchar', { oid: 1043, encode: TEXT }],
  ['bpchar', { oid: 1042, encode: TEXT }],
  ['json', { oid: 114, encode: TEXT }],
  ['jsonb', { oid: 3802, encode: JSONB }],
]);

/** The parameters of one column for many rows; null where one of them is not of the type's usual kind. */
export function binaryArray(column: ColumnMapping, values: readonly unknown[]): BinaryArray | null {
  const encoding = ENCODINGS.get(column.arrayType);
  const bytes = encoding?.encode(values, encoding.oid) ?? null;
  return bytes === null ? null : new BinaryArray(column.arrayType, values.length, bytes);
}

/** Dimensions, whether there are nulls, the type; then the length of the one dimension, and where it begins. */
const HEADER = 20;
const LENGTH = 4;
const NULL_LENGTH = -1;

function writeHeader(view: DataView, oid: number, length: number, hasNulls: boolean): void {
  view.setInt32(0, 1);
  view.setInt32(4, hasNulls ? 1 : 0);
  view.setInt32(8, oid);
  view.setInt32(12, length);
  view.setInt32(16, 1);
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function fixedWidth(
  values: readonly unknown[],
  oid: number,
  width: number,
  isKnown: (value: unknown) => boolean,
  write: (view: DataView, at: number, value: unknown) => void,
): Buffer | null {
  let nulls = 0;
  for (const value of values) {
    if (value === null || value === undefined) nulls += 1;
    else if (!isKnown(value)) return null;
  }
  const bytes = Buffer.allocUnsafe(HEADER + values.length * (LENGTH + width) - nulls * width);
  const view = viewOf(bytes);
  writeHeader(view, oid, values.length, nulls > 0);
  let at = HEADER;
  for (const value of values) {
    if (value === null || value === undefined) {
      view.setInt32(at, NULL_LENGTH);
      at += LENGTH;
    } else {
      view.setInt32(at, width);
      write(view, at + LENGTH, value);
      at += LENGTH + width;
    }
  }
  return bytes;
}

/** Up to so many UTF-16 units a text is written unit by unit: the call that writes longer ones has its price. */
const SHORT = 48;

/** @param version what stands before each text; -1 for nothing */
function texts(values: readonly unknown[], oid: number, version: number): Buffer | null {
  let nulls = 0;
  let size = 0;
  for (const value of values) {
    if (typeof value === 'string') size += value.length > SHORT ? Buffer.byteLength(value) : value.length;
    else if (value === null || value === undefined) nulls += 1;
    else return null;
  }
  const prefix = version === -1 ? 0 : 1;
  const rest = HEADER + values.length * (LENGTH + prefix) - nulls * prefix;
  // Most texts are ASCII, and as long as they seem.
  return (
    writtenTexts(values, oid, version, Buffer.allocUnsafe(rest + size), nulls > 0, true) ??
    writtenTexts(values, oid, version, Buffer.allocUnsafe(rest + bytesOf(values)), nulls > 0, false)
  );
}

function bytesOf(values: readonly unknown[]): number {
  let size = 0;
  for (const value of values) if (typeof value === 'string') size += Buffer.byteLength(value);
  return size;
}

/** Null where `isAscii` was a mistake, and there is too little room. */
function writtenTexts(
  values: readonly unknown[],
  oid: number,
  version: number,
  bytes: Buffer,
  hasNulls: boolean,
  isAscii: boolean,
): Buffer | null {
  const view = viewOf(bytes);
  writeHeader(view, oid, values.length, hasNulls);
  let at = HEADER;
  for (const value of values) {
    const start = at;
    at += LENGTH;
    if (typeof value !== 'string') {
      view.setInt32(start, NULL_LENGTH);
      continue;
    }
    if (version !== -1) bytes[at++] = version;
    const length = value.length > SHORT ? -1 : writeAscii(bytes, value, at);
    if (length === -1 && isAscii && value.length <= SHORT) return null;
    at += length === -1 ? bytes.write(value, at) : length;
    view.setInt32(start, at - start - LENGTH);
  }
  return bytes;
}

/** The length of what was written; -1 where the text is not ASCII. */
function writeAscii(bytes: Buffer, text: string, start: number): number {
  const { length } = text;
  for (let index = 0; index < length; index++) {
    const code = text.charCodeAt(index);
    if (code > 0x7f) return -1;
    bytes[start + index] = code;
  }
  return length;
}
