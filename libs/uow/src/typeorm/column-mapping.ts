import type { DataSource } from 'typeorm';
import type { ColumnMapping, ColumnRole, KeyGeneration, Snapshot } from '../database/entity-mapping.js';
import { compileGetter, compileSetter, embeddedPath } from './property-access.js';
import type { TableType } from './table-types.js';
import { normalizedType, valueConversion } from './value-conversion.js';
import type { ColumnMetadata, ValueConversion } from './value-conversion.js';

/** One column of a mapping, compiled from TypeORM's metadata: its SQL types, its conversion, its place in the entity. */
export class CompiledColumn implements ColumnMapping {
  readonly name: string;
  readonly sql: string;
  readonly path: string;
  readonly isProperty: boolean;
  readonly role: ColumnRole;
  readonly isKey: boolean;
  readonly nullable: boolean;
  readonly hasDefault: boolean;
  readonly generation: KeyGeneration | null;
  readonly generatedAlways: boolean;
  readonly computed: boolean;
  readonly selected: boolean;
  readonly insertable: boolean;
  readonly updatable: boolean;
  readonly type: string;
  readonly baseType: string;
  readonly arrayType: string;
  readonly castsElement: boolean;
  readonly isPlain: boolean;
  readonly isTimestamp: boolean;
  readonly drawSql: string | null;
  rawSlot = -1;

  readonly get: (entity: object) => unknown;
  readonly set: (entity: object, value: unknown) => void;
  readonly freeze: (value: unknown) => unknown;
  readonly freezeRead: (value: unknown, raw: unknown) => unknown;
  readonly thaw: (frozen: unknown) => unknown;
  readonly same: (value: unknown, frozen: unknown) => boolean;
  readonly toParameter: (value: unknown) => unknown;
  readonly fromRow: (raw: unknown) => unknown;
  readonly keyPart: (stored: unknown) => string | number;
  readonly rawToParameter: (raw: unknown) => unknown;
  readonly #frozenToParameter: (frozen: unknown) => unknown;
  #throughRelation: ((entity: object) => unknown) | undefined;
  readonly #unchanged: (left: string, right: string) => string;

  constructor(
    dataSource: DataSource,
    readonly metadata: ColumnMetadata,
    readonly index: number,
    /** What the table has, where that is another type than the metadata's. */
    table?: TableType,
  ) {
    this.name = metadata.databaseName;
    this.sql = dataSource.driver.escape(metadata.databaseName);
    this.path = metadata.propertyPath;
    // A key column may be declared on the relation's own property, which then holds the object.
    this.isProperty = !metadata.isVirtual && metadata.relationMetadata?.propertyPath !== metadata.propertyPath;
    this.role = roleOf(metadata);
    this.isKey = metadata.isPrimary;
    this.nullable = metadata.isNullable;
    this.hasDefault = metadata.isGenerated || (metadata.default !== undefined && metadata.default !== null);
    this.generation = !metadata.isGenerated ? null : metadata.generationStrategy === 'uuid' ? 'uuid' : 'sequence';
    this.generatedAlways = metadata.generatedIdentity === 'ALWAYS';
    this.drawSql = drawSql(dataSource, metadata);
    this.computed = metadata.generatedType !== undefined || metadata.asExpression !== undefined;
    this.selected = metadata.isSelect;
    this.insertable = metadata.isInsert && !this.computed;
    this.updatable = metadata.isUpdate && !this.computed;

    const mapped = normalizedType(dataSource, metadata);
    const base = table?.base ?? mapped;
    const full = fullType(dataSource, metadata, mapped);
    this.type = table?.type ?? (metadata.isArray ? `${full}[]` : full);
    this.baseType = table?.base ?? (metadata.isArray ? `${base}[]` : base);
    const arrayType = metadata.isArray || table !== undefined ? undefined : ELEMENT_TYPES.get(base);
    this.arrayType = arrayType ?? 'text';
    this.castsElement = arrayType === undefined;
    this.#unchanged = unchangedSql(metadata, base, this.type);

    const conversion: ValueConversion = valueConversion(dataSource, metadata);
    this.isPlain = conversion.isPlain;
    this.isTimestamp = conversion.isTimestamp;
    this.freeze = conversion.freeze;
    this.freezeRead = conversion.freezeRead;
    this.thaw = conversion.thaw;
    this.same = conversion.same;
    this.toParameter = conversion.toParameter;
    this.fromRow = conversion.fromRow;
    this.rawToParameter = conversion.rawToParameter;
    this.#frozenToParameter = conversion.frozenToParameter;
    this.keyPart = keyPart(base, conversion);

    const owner = embeddedPath(metadata.embeddedMetadata);
    this.get = this.isProperty
      ? compileGetter(owner, metadata.propertyName)
      : (entity) => this.#throughRelation?.(entity);
    this.set = this.isProperty ? compileSetter(owner, metadata.propertyName) : () => undefined;
  }

  /** Lets a foreign key without a property of its own be read from the object that the relation holds. */
  readThrough(relation: (entity: object) => unknown, referenced: (related: object) => unknown): void {
    this.#throughRelation = (entity) => {
      const related = relation(entity);
      return typeof related === 'object' && related !== null ? referenced(related) : related;
    };
  }

  storedParameter(snapshot: Snapshot): unknown {
    return this.rawSlot === -1 ? this.#frozenToParameter(snapshot[this.index]) : snapshot[this.rawSlot];
  }

  unchangedSql(left: string, right: string): string {
    return this.#unchanged(left, right);
  }
}

/** Types whose arrays can be parameters as they are; values of all others travel as text and are cast. */
const ELEMENT_TYPES = new Map([
  ['integer', 'integer'],
  ['smallint', 'smallint'],
  ['bigint', 'bigint'],
  ['text', 'text'],
  ['character varying', 'varchar'],
  // A bare character is character(1), and a cast to it would cut.
  ['character', 'bpchar'],
  ['uuid', 'uuid'],
  ['boolean', 'boolean'],
  ['numeric', 'numeric'],
  ['real', 'real'],
  ['double precision', 'double precision'],
  ['date', 'date'],
  ['timestamp without time zone', 'timestamp'],
  ['timestamp with time zone', 'timestamptz'],
  ['time without time zone', 'time'],
  ['time with time zone', 'timetz'],
  ['interval', 'interval'],
  ['json', 'json'],
  ['jsonb', 'jsonb'],
  ['bytea', 'bytea'],
  ['inet', 'inet'],
  ['cidr', 'cidr'],
  ['macaddr', 'macaddr'],
  ['money', 'money'],
]);

/** Types without an equality that means "the same value": compared by their text. */
const COMPARED_AS_TEXT = new Set([
  'point',
  'line',
  'lseg',
  'box',
  'path',
  'polygon',
  'circle',
  'xml',
  'tsquery',
  'jsonpath',
  'citext',
  'interval',
]);

function roleOf(column: ColumnMetadata): ColumnRole {
  if (column.isVersion) return 'version';
  if (column.isCreateDate) return 'createDate';
  if (column.isUpdateDate) return 'updateDate';
  if (column.isDeleteDate) return 'deleteDate';
  if (column.isDiscriminator) return 'discriminator';
  return 'plain';
}

function fullType(dataSource: DataSource, column: ColumnMetadata, base: string): string {
  if (base === 'enum') {
    const metadata = column.entityMetadata;
    const name = column.enumName ?? `${metadata.tableName}_${column.databaseName.toLowerCase()}_enum`;
    const path = column.enumName?.includes('.') === true ? name.split('.') : [metadata.schema, name];
    return path
      .filter((part) => part !== undefined && part !== '')
      .map((part) => dataSource.driver.escape(part!))
      .join('.');
  }
  const length = column.length !== '' ? column.length : undefined;
  const described = {
    type: base,
    length,
    precision: column.precision,
    scale: column.scale,
    isArray: false,
    spatialFeatureType: column.spatialFeatureType,
    srid: column.srid,
  };
  return dataSource.driver.createFullType(described as never);
}

/** The default of a column as an expression. A sequence is looked up once for a statement, not once for a row. */
function drawSql(dataSource: DataSource, column: ColumnMetadata): string | null {
  if (column.isGenerated) {
    if (column.generationStrategy === 'uuid') {
      return typeof column.default === 'function' ? column.default() : 'gen_random_uuid()';
    }
    const table = column.entityMetadata.tablePath
      .split('.')
      .map((part) => dataSource.driver.escape(part))
      .join('.');
    return `nextval((SELECT pg_get_serial_sequence('${quoted(table)}', '${quoted(column.databaseName)}')::regclass))`;
  }
  return typeof column.default === 'function' ? column.default() : null;
}

function quoted(text: string): string {
  return text.replaceAll("'", "''");
}

function unchangedSql(column: ColumnMetadata, base: string, type: string): (left: string, right: string) => string {
  if (base === 'json' || base === 'jsonb') {
    const suffix = column.isArray ? '::text' : '::jsonb';
    return (left, right) => `${left}${suffix} IS NOT DISTINCT FROM ${right}::${type}${suffix}`;
  }
  if (COMPARED_AS_TEXT.has(base)) {
    return (left, right) => `${left}::text IS NOT DISTINCT FROM (${right}::${type})::text`;
  }
  if (base.startsWith('timestamp') && !column.isArray && (column.precision ?? 6) > 3) {
    // A JavaScript Date was read to the millisecond; the microseconds behind it are not a difference.
    return (left, right) =>
      `date_trunc('milliseconds', ${left}) IS NOT DISTINCT FROM date_trunc('milliseconds', ${right}::${type})`;
  }
  return (left, right) => `${left} IS NOT DISTINCT FROM ${right}::${type}`;
}

function keyPart(base: string, conversion: ValueConversion): (stored: unknown) => string | number {
  switch (base) {
    case 'integer':
    case 'smallint':
      return (stored) => (typeof stored === 'number' ? stored : Number(stored));
    case 'uuid':
      return (stored) => (stored as string).toLowerCase();
    case 'character':
      return (stored) => String(stored).trimEnd();
    case 'bigint':
    case 'text':
    case 'character varying':
    case 'numeric':
      return (stored) => (typeof stored === 'string' ? stored : String(stored));
    default:
      return (stored) => {
        const parameter = stored instanceof Date ? conversion.rawToParameter(stored) : stored;
        if (parameter instanceof Date) return parameter.getTime();
        if (parameter instanceof Uint8Array) return Buffer.from(parameter).toString('hex');
        return String(parameter);
      };
  }
}
