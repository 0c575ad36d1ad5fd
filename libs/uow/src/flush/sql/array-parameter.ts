import type { ColumnMapping } from '../../database/entity-mapping.js';

/**
 * The parameters of one column for many rows, as one PostgreSQL array. Primitives are written as an array
 * literal here, which is several times faster than the driver's general conversion; arrays that hold dates,
 * bytes or other objects are left to the driver.
 */
export function arrayParameter(column: ColumnMapping, values: readonly unknown[]): unknown {
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
