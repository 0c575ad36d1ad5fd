import type { ColumnMapping } from '../../database/entity-mapping.js';

/**
 * The parameters of one column for many rows, as one PostgreSQL array. Primitives are written as an array
 * literal here, which is several times faster than the driver's general conversion; arrays that hold dates,
 * bytes or other objects are left to the driver.
 */
export function arrayParameter(column: ColumnMapping, values: readonly unknown[]): unknown {
  return jsonLiteral(column, values) ?? anyLiteral(column, values);
}

/**
 * JSON and array literals write most primitives alike, and a JSON text is made at once, where a string that
 * grows by each element is a tree that has to be walked in the end. Null where they would differ.
 */
function jsonLiteral(column: ColumnMapping, values: readonly unknown[]): string | null {
  const isInstant = column.arrayType === 'timestamptz';
  for (const value of values) {
    switch (typeof value) {
      case 'string':
      case 'boolean':
      case 'undefined':
        continue;
      case 'number':
        if (Number.isFinite(value)) continue;
        return null;
      default:
        if (value === null || (isInstant && isCommonInstant(value) && value.toJSON === Date.prototype.toJSON)) continue;
        return null;
    }
  }
  const json = JSON.stringify(values);
  return hasForeignEscape(json) ? null : `{${json.slice(1, -1)}}`;
}

/** Quotes and backslashes are escaped alike; control characters and lone surrogates have escapes that only JSON knows. */
function hasForeignEscape(json: string): boolean {
  for (let at = json.indexOf('\\'); at !== -1; at = json.indexOf('\\', at + 2)) {
    const escaped = json[at + 1];
    if (escaped !== '"' && escaped !== '\\') return true;
  }
  return false;
}

/** A date of which nobody doubts what it is, and whose ISO text everybody reads alike: its year has four digits. */
export function isCommonInstant(value: unknown): value is Date {
  if (!(value instanceof Date)) return false;
  const time = value.getTime();
  return time >= FIRST_INSTANT && time <= LAST_INSTANT;
}

const FIRST_INSTANT = Date.UTC(1000, 0, 1);
const LAST_INSTANT = Date.UTC(9999, 11, 31);

function anyLiteral(column: ColumnMapping, values: readonly unknown[]): unknown {
  const cast = column.castsElement;
  let literal = '{';
  for (let at = 0; at < values.length; at++) {
    const value = values[at];
    if (at > 0) literal += ',';
    if (typeof value === 'object' && value !== null && !(cast && Array.isArray(value))) return values;
    literal += element(value, cast);
  }
  return `${literal}}`;
}

/** One value as the text that its column's type reads. */
export function textParameter(value: unknown): string | null {
  switch (typeof value) {
    case 'string':
      return value;
    case 'number':
    case 'bigint':
      return String(value);
    case 'boolean':
      return value ? 't' : 'f';
    case 'undefined':
      return null;
    case 'object':
      if (value === null) return null;
      return Array.isArray(value) ? arrayLiteral(value) : objectText(value);
    default:
      throw new TypeError(`A ${typeof value} is no value for a column`);
  }
}

function element(value: unknown, nestedAsText: boolean): string {
  switch (typeof value) {
    case 'number':
    case 'bigint':
      return String(value);
    case 'boolean':
      return value ? 't' : 'f';
    case 'string':
      return quoted(value);
    case 'object':
      if (value === null) return 'NULL';
      if (Array.isArray(value)) {
        const nested = arrayLiteral(value);
        return nestedAsText ? quoted(nested) : nested;
      }
      return quoted(objectText(value));
    case 'undefined':
      return 'NULL';
    default:
      throw new TypeError(`A ${typeof value} is no value for a column`);
  }
}

/** The text of one array value, such as a `text[]` column holds. */
function arrayLiteral(values: readonly unknown[]): string {
  return `{${values.map((value) => element(value, false)).join(',')}}`;
}

function objectText(value: object): string {
  if (value instanceof Date) return dateText(value);
  if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString('hex')}`;
  return JSON.stringify(value);
}

const NEEDS_ESCAPE = /["\\]/;

function quoted(text: string): string {
  return NEEDS_ESCAPE.test(text) ? `"${text.replace(/["\\]/g, '\\$&')}"` : `"${text}"`;
}

/** Local time with its offset, as the driver writes dates: right for columns with and without time zone. */
function dateText(date: Date): string {
  const pad = (value: number, length = 2): string => String(value).padStart(length, '0');
  let year = date.getFullYear();
  const isBC = year < 1;
  if (isBC) year = Math.abs(year) + 1;
  const offset = -date.getTimezoneOffset();
  const zone = `${offset < 0 ? '-' : '+'}${pad(Math.floor(Math.abs(offset) / 60))}:${pad(Math.abs(offset) % 60)}`;
  return (
    `${pad(year, 4)}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}T${pad(date.getHours())}:${pad(date.getMinutes())}:` +
    `${pad(date.getSeconds())}.${pad(date.getMilliseconds(), 3)}${zone}${isBC ? ' BC' : ''}`
  );
}
