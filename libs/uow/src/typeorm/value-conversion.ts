import type { DataSource, EntityMetadata } from 'typeorm';
import { ReadText, valueRead } from '../database/read-text.js';
import { shownValue } from '../errors/shown-value.js';

/** TypeORM does not export the class by name in every supported version. */
export type ColumnMetadata = EntityMetadata['columns'][number];

/**
 * How one column's values pass between entity, snapshot and driver. TypeORM's own conversions are used for
 * everything that it converts, so a session reads and writes exactly what a repository does; columns whose
 * values are primitives on both sides are marked plain and skip it.
 */
export interface ValueConversion {
  /** Driver values are primitives and go unchanged into entity and snapshot. */
  readonly isPlain: boolean;
  /** A transformer stands between: the stored form is kept beside the property's. */
  readonly isTransformed: boolean;
  /** The driver gives a `Date`, and a snapshot holds its milliseconds. */
  readonly isTimestamp: boolean;
  readonly freeze: (value: unknown) => unknown;
  readonly freezeRead: (value: unknown, raw: unknown) => unknown;
  readonly thaw: (frozen: unknown) => unknown;
  readonly same: (value: unknown, frozen: unknown) => boolean;
  readonly toParameter: (value: unknown) => unknown;
  readonly fromRow: (raw: unknown) => unknown;
  /** The parameter, without the transformer, for what the driver read. */
  readonly rawToParameter: (raw: unknown) => unknown;
  /** The parameter for a frozen value of a column without transformer. */
  readonly frozenToParameter: (frozen: unknown) => unknown;
}

/**
 * What a snapshot holds in place of a mutable value that is neither date nor bytes: what would be sent for it
 * (json, and whatever only a transformer can copy), else a deep copy.
 */
class FrozenValue {
  constructor(readonly stored: unknown) {}
}

/**
 * What a snapshot holds for a value that came from the server as text which the value need not hold in full. What an
 * application would see and send for it is made only when somebody compares.
 */
class FrozenText {
  #frozen: unknown;

  constructor(
    readonly raw: ReadText | string,
    readonly freeze: (raw: ReadText | string) => unknown,
  ) {}

  get text(): string {
    return typeof this.raw === 'string' ? this.raw : this.raw.text;
  }

  /** The value as it would be frozen if it had been set. */
  get frozen(): unknown {
    if (this.#frozen === undefined) this.#frozen = this.freeze(this.raw);
    return this.#frozen;
  }
}

const PLAIN_TYPES = new Set([
  'integer',
  'smallint',
  'bigint',
  'text',
  'character varying',
  'character',
  'uuid',
  'boolean',
  'numeric',
  'real',
  'double precision',
  'citext',
  'money',
  'inet',
  'cidr',
  'macaddr',
  'enum',
]);
const TIMESTAMP_TYPES = new Set(['timestamp without time zone', 'timestamp with time zone']);
const JSON_TYPES = new Set(['json', 'jsonb']);

/** The name that TypeORM normalizes a column's type to. */
export function normalizedType(dataSource: DataSource, column: ColumnMetadata): string {
  return dataSource.driver.normalizeType(column);
}

/** Compiles the conversion of one column. */
export function valueConversion(dataSource: DataSource, column: ColumnMetadata): ValueConversion {
  const type = normalizedType(dataSource, column);
  const isTransformed = column.transformer !== undefined;
  const isArray = column.isArray;
  const declared = column.type;
  const isPlain =
    !isTransformed &&
    !isArray &&
    PLAIN_TYPES.has(type) &&
    declared !== 'simple-array' &&
    declared !== 'simple-json' &&
    !(type === 'enum' && column.enum?.some((member) => typeof member === 'number') === true);
  const isTimestamp = TIMESTAMP_TYPES.has(type) && !isTransformed && !isArray;
  const isJson = JSON_TYPES.has(type) && !isTransformed && !isArray;

  const driver = dataSource.driver;
  const untransformed = Object.create(column, { transformer: { value: undefined } }) as ColumnMetadata;
  const toParameter =
    isPlain && declared !== Boolean
      ? unchangedParameter
      : JSON_TYPES.has(type) && isArray && !isTransformed
        ? jsonArrayParameter
        : (value: unknown): unknown => {
            // TypeORM has the same answer, after many questions.
            if (isTimestamp && value instanceof Date) return value;
            const parameter: unknown = driver.preparePersistentValue(value, column);
            return parameter === undefined ? null : parameter;
          };
  const fromRow = isPlain
    ? (raw: unknown): unknown => raw
    : isTimestamp
      ? // A parser of the application's own may leave it a text, of which TypeORM makes a date.
        (raw: unknown): unknown =>
          typeof raw === 'string' ? (driver.prepareHydratedValue(raw, column) as unknown) : raw
      : isJson
        ? valueRead
        : (raw: unknown): unknown => driver.prepareHydratedValue(valueRead(raw), column);

  const keepsParameter = isTransformed || isJson || declared === 'simple-json';

  const freeze = (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null) {
      if (isTimestamp && typeof value === 'number' && !isInfinite(value)) return new FrozenValue(value);
      return typeof value === 'function' ? undefined : value;
    }
    if (value instanceof Date) return isTimestamp ? value.getTime() : new Date(value.getTime());
    if (value instanceof Uint8Array) return Buffer.from(value);
    return new FrozenValue(copyOf(keepsParameter ? toParameter(value) : value));
  };

  const freezeText = (raw: ReadText | string): unknown => freeze(fromRow(raw));

  const freezeRead = (value: unknown, raw: unknown): unknown => {
    // What stands behind a transformer has a slot of its own.
    if (isTransformed || raw === null || value === undefined) return freeze(value);
    if (raw instanceof ReadText) return isExactly(value, raw.text) ? value : new FrozenText(raw, freezeText);
    return typeof raw === 'string' && typeof value === 'object' ? new FrozenText(raw, freezeText) : freeze(value);
  };

  const thaw = (frozen: unknown): unknown => {
    if (typeof frozen !== 'object' || frozen === null) {
      return isTimestamp && typeof frozen === 'number' && !isInfinite(frozen) ? new Date(frozen) : frozen;
    }
    if (frozen instanceof FrozenText) return fromRow(frozen.raw);
    if (frozen instanceof Date) return new Date(frozen.getTime());
    if (frozen instanceof Uint8Array) return Buffer.from(frozen);
    const stored = copyOf((frozen as FrozenValue).stored);
    if (!keepsParameter) return stored;
    return isJson ? JSON.parse(stored as string) : fromRow(stored);
  };

  const same = (value: unknown, frozen: unknown): boolean => {
    if (value === frozen) return true;
    if (isPlain && typeof value !== 'object' && typeof value === typeof frozen) {
      return Number.isNaN(value) && Number.isNaN(frozen);
    }
    if (frozen instanceof FrozenText) return same(value, frozen.frozen);
    if (value === null || frozen === null || frozen === undefined) return false;
    if (typeof frozen === 'number' && value instanceof Date) return Object.is(value.getTime(), frozen);
    if (value instanceof Date && frozen instanceof Date) {
      return value.getTime() === frozen.getTime() || (Number.isNaN(value.getTime()) && Number.isNaN(frozen.getTime()));
    }
    if (value instanceof Uint8Array && frozen instanceof Uint8Array) return Buffer.compare(value, frozen) === 0;
    if (typeof value === 'function') return false;
    if (!keepsParameter && frozen instanceof FrozenValue) return sameJson(value, frozen.stored);
    let parameter: unknown;
    try {
      parameter = toParameter(value);
    } catch {
      // What cannot be stored was not: a flush says why, and a rollback puts something else in its place.
      return false;
    }
    const stored =
      frozen instanceof FrozenValue ? frozen.stored : frozen instanceof Date ? frozen : toParameter(thaw(frozen));
    return sameParameter(parameter, stored, isJson || declared === 'simple-json');
  };

  return {
    isPlain,
    isTransformed,
    isTimestamp,
    freeze,
    freezeRead,
    thaw,
    same,
    toParameter,
    fromRow,
    rawToParameter: (raw) => {
      if (raw instanceof ReadText) return raw.text;
      if (typeof raw === 'string' && !JSON_TYPES.has(type)) return raw;
      return copyOf(driver.preparePersistentValue(raw, untransformed) ?? null);
    },
    frozenToParameter: (frozen) => {
      if (frozen instanceof FrozenText) return frozen.text;
      return frozen instanceof FrozenValue && keepsParameter ? frozen.stored : toParameter(thaw(frozen));
    },
  };
}

/** PostgreSQL's `infinity` and `-infinity`, which no `Date` can hold. */
function isInfinite(value: number): boolean {
  return value === Infinity || value === -Infinity;
}

/** TypeORM would send the array as one json value, which is no array to the server. */
function jsonArrayParameter(value: unknown): unknown {
  if (!Array.isArray(value)) return value ?? null;
  return value.map((part: unknown) => (part === null ? null : JSON.stringify(part)));
}

/** True when a json value that is no object says all that its text does. */
function isExactly(value: unknown, text: string): boolean {
  return (
    typeof value === 'string' || typeof value === 'boolean' || (typeof value === 'number' && String(value) === text)
  );
}

function unchangedParameter(value: unknown): unknown {
  return value === undefined ? null : value;
}

function copyOf(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Date) return new Date(value.getTime());
  if (value instanceof Uint8Array) return Buffer.from(value);
  if (Array.isArray(value)) return value.map(copyOf);
  const copy = Object.create(Object.getPrototypeOf(value) as object | null) as Record<string, unknown>;
  for (const [name, part] of Object.entries(value)) copy[name] = copyOf(part);
  return copy;
}

function sameParameter(a: unknown, b: unknown, isJson: boolean): boolean {
  if (a === b) return true;
  if (a === null || b === null || a === undefined || b === undefined) return false;
  if (typeof a === 'string' && typeof b === 'string') {
    return isJson && a.length === b.length && sameJson(JSON.parse(a), JSON.parse(b));
  }
  if (typeof a !== 'object' && typeof b !== 'object') {
    // The driver sends every parameter as text: 5, 5n and '5' are one value to the server. NaN is equal to itself there.
    return shownValue(a) === shownValue(b);
  }
  return sameJson(a, b);
}

/** Equality of values, whatever the order of object keys. */
function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) {
    return typeof a === 'number' && typeof b === 'number' && Number.isNaN(a) && Number.isNaN(b);
  }
  if (a instanceof Date || b instanceof Date) {
    return a instanceof Date && b instanceof Date && a.getTime() === b.getTime();
  }
  if (a instanceof Uint8Array || b instanceof Uint8Array) {
    return a instanceof Uint8Array && b instanceof Uint8Array && Buffer.compare(a, b) === 0;
  }
  if (Array.isArray(a)) {
    return (
      Array.isArray(b) && a.length === b.length && a.every((part, index) => sameJson(part, (b as unknown[])[index]))
    );
  }
  if (Array.isArray(b)) return false;
  const names = Object.keys(a);
  return (
    names.length === Object.keys(b).length &&
    names.every(
      (name) =>
        Object.hasOwn(b, name) && sameJson((a as Record<string, unknown>)[name], (b as Record<string, unknown>)[name]),
    )
  );
}
