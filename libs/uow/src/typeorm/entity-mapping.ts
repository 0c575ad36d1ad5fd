import type { DataSource, EntityMetadata } from 'typeorm';
import type { EntityMapping, IdentityKey, RowReader, Snapshot } from '../database/entity-mapping.js';
import { shownValue } from '../errors/shown-value.js';
import { InvalidIdentityError } from '../errors/session-errors.js';
import { CompiledColumn } from './column-mapping.js';
import { compileChangedColumns, compileIsChanged, compileRowReader, joinKeyParts } from './compiled-accessors.js';
import type { TableType } from './table-types.js';
import { virtualColumnsOf, withVirtualColumns } from './virtual-columns.js';
import type { ReadColumn } from './virtual-columns.js';
import { CompiledListeners } from './entity-listeners.js';
import { CompiledRelation } from './relation-mapping.js';
import type { MappingLookup } from './relation-mapping.js';

/** What holds for one entity beside its metadata; from the module's `entities` option. */
export interface EntityPolicy {
  readonly staleCheck: boolean;
  readonly confirmRows: boolean;
}

/** An entity, compiled from TypeORM's metadata into what sessions and flushes use for every row. */
export class CompiledMapping implements EntityMapping {
  readonly target: EntityMapping['target'];
  readonly name: string;
  readonly table: string;
  readonly columns: readonly CompiledColumn[];
  readonly keyColumns: readonly CompiledColumn[];
  readonly relations: readonly CompiledRelation[];
  readonly version: CompiledColumn | null;
  readonly createDate: CompiledColumn | null;
  readonly updateDate: CompiledColumn | null;
  readonly deleteDate: CompiledColumn | null;
  readonly discriminator: CompiledColumn | null;
  readonly discriminatorValue: string | null;
  readonly unsupported: string | null;
  readonly isReadOnly: boolean;
  readonly readColumns: readonly CompiledColumn[];
  readonly slots: number;
  readonly uniqueKeys: EntityMapping['uniqueKeys'];
  readonly staleCheck: boolean;
  readonly confirmRows: boolean;
  readonly reader: RowReader;
  readonly listeners: CompiledListeners;
  readonly isChanged: (entity: object, snapshot: Snapshot) => boolean;
  readonly changedColumns: (entity: object, snapshot: Snapshot) => readonly CompiledColumn[] | null;
  readonly #lookup: MappingLookup;
  readonly callsConstructor: boolean;
  readonly #create: () => object;
  readonly #readers = new Map<string, RowReader>();
  readonly #virtualColumns: readonly ReadColumn[];
  readonly #selectLists = new Map<string, string>();
  #root: EntityMapping | null = null;
  #children: Map<string, EntityMapping> | null = null;

  constructor(
    dataSource: DataSource,
    readonly metadata: EntityMetadata,
    lookup: MappingLookup,
    policy: EntityPolicy,
    /** Of columns whose tables have other types than the metadata says. */
    tableType: (table: string, column: string) => TableType | undefined = () => undefined,
  ) {
    this.#lookup = lookup;
    this.target = metadata.target;
    this.name = metadata.name;
    this.table = metadata.tablePath
      .split('.')
      .map((part) => dataSource.driver.escape(part))
      .join('.');
    this.columns = metadata.columns
      .filter((column) => !column.isVirtualProperty)
      .map(
        (column, index) => new CompiledColumn(dataSource, column, index, tableType(this.table, column.databaseName)),
      );
    this.keyColumns = this.columns.filter((column) => column.isKey);
    this.version = this.columns.find((column) => column.role === 'version') ?? null;
    this.createDate = this.columns.find((column) => column.role === 'createDate') ?? null;
    this.updateDate = this.columns.find((column) => column.role === 'updateDate') ?? null;
    this.deleteDate = this.columns.find((column) => column.role === 'deleteDate') ?? null;
    this.discriminator = this.columns.find((column) => column.role === 'discriminator') ?? null;
    this.discriminatorValue = metadata.discriminatorValue ?? null;
    this.isReadOnly = metadata.tableType === 'view';
    this.unsupported = whyUnsupported(metadata, this);
    this.staleCheck = policy.staleCheck;
    this.confirmRows = policy.confirmRows;

    let slots = this.columns.length;
    for (const column of this.columns) {
      if (column.metadata.transformer !== undefined) column.rawSlot = slots++;
    }
    this.slots = slots;

    this.relations = metadata.relations.map((relation, index) => new CompiledRelation(relation, index, this, lookup));
    for (const relation of this.relations) {
      if (!relation.isOwningToOne) continue;
      for (const joinColumn of relation.metadata.joinColumns) {
        const column = this.columns.find(({ name }) => name === joinColumn.databaseName);
        if (column === undefined || column.isProperty) continue;
        const referenced = (): (typeof relation.referencedColumns)[number] | undefined =>
          relation.referencedColumns[relation.joinColumns.indexOf(column)];
        column.readThrough(relation.get, (related) => referenced()?.get(related));
      }
    }

    const unique = [
      ...metadata.uniques.map(({ columns, deferrable }) => ({ columns, isDeferrable: deferrable !== undefined })),
      // An index with a condition of its own may see more collisions here than there are; that only costs a statement.
      ...metadata.indices.filter((index) => index.isUnique).map(({ columns }) => ({ columns, isDeferrable: false })),
    ];
    this.uniqueKeys = unique.map(({ columns, isDeferrable }) => ({
      columns: columns.flatMap((own) => this.columns.find(({ name }) => name === own.databaseName) ?? []),
      isDeferrable,
    }));

    this.readColumns = this.columns.filter((column) => column.selected);
    this.#virtualColumns = virtualColumnsOf(metadata);
    const behind = this.readColumns.length;
    this.reader = withVirtualColumns(
      this.readerFor(positionsOf(this.columns, this.readColumns)),
      this.#virtualColumns.map((column, at) => ({ column, position: behind + at })),
    );
    this.isChanged = compileIsChanged(this.columns);
    this.changedColumns = compileChangedColumns(this.columns);
    this.listeners = new CompiledListeners(dataSource, metadata);
    this.#create = compileCreate(dataSource, metadata);
    this.callsConstructor = metadata.isAlwaysUsingConstructor;
  }

  get root(): EntityMapping {
    return (this.#root ??= this.#findRoot());
  }

  #findRoot(): EntityMapping {
    let top = this.metadata;
    while (top.inheritancePattern === 'STI' || top.tableType === 'entity-child') {
      const parent = top.parentEntityMetadata as EntityMetadata | undefined;
      if (parent === undefined || parent === top) break;
      top = parent;
    }
    return top === this.metadata ? this : this.#lookup.of(top);
  }

  get parents(): readonly EntityMapping[] {
    const referred = [
      ...this.metadata.foreignKeys.map((key) => key.referencedEntityMetadata),
      ...this.metadata.relationsWithJoinColumns.map((relation) => relation.inverseEntityMetadata),
    ];
    return [...new Set(referred)].map((metadata) => this.#lookup.of(metadata));
  }

  get hierarchy(): readonly EntityMapping[] {
    return [this, ...this.metadata.childEntityMetadatas.map((child) => this.#lookup.of(child))];
  }

  create(): object {
    return this.#create();
  }

  selectList(alias: string): string {
    let list = this.#selectLists.get(alias);
    if (list === undefined) {
      const virtual = this.#virtualColumns.map((column) => column.sql(alias));
      list = [...this.readColumns.map((column) => `${alias}.${column.sql}`), ...virtual].join(', ');
      this.#selectLists.set(alias, list);
    }
    return list;
  }

  /** The reader of an answer whose columns are found by their names in the database; -1 where one is not there. */
  readerByName(positionOf: (name: string) => number): RowReader {
    return withVirtualColumns(
      this.readerFor(this.columns.map((column) => positionOf(column.name))),
      this.#virtualColumns.map((column) => ({ column, position: positionOf(column.name) })),
    );
  }

  readerFor(positions: readonly number[]): RowReader {
    const signature = positions.join();
    let reader = this.#readers.get(signature);
    if (reader === undefined) {
      reader = compileRowReader(this.columns, positions, this.slots);
      this.#readers.set(signature, reader);
    }
    return reader;
  }

  keyOf(entity: object): IdentityKey | null {
    const parts: (string | number)[] = [];
    for (const column of this.keyColumns) {
      const value = column.get(entity);
      if (value === undefined || value === null) return null;
      const stored = column.toParameter(value);
      if (stored === undefined || stored === null) return null;
      parts.push(column.keyPart(stored));
    }
    return parts.length === 1 ? parts[0]! : joinKeyParts(parts);
  }

  keyOfSnapshot(snapshot: Snapshot): IdentityKey {
    return this.keyOfStored(this.keyColumns.map((column) => column.storedParameter(snapshot)));
  }

  keyOfStored(stored: readonly unknown[]): IdentityKey {
    if (stored.length === 1) return this.keyColumns[0]!.keyPart(stored[0]);
    return joinKeyParts(this.keyColumns.map((column, at) => column.keyPart(stored[at])));
  }

  keyParameters(id: unknown): unknown[] {
    const isObject = typeof id === 'object' && id !== null && !(id instanceof Date) && !(id instanceof Uint8Array);
    if (!isObject) {
      if (this.keyColumns.length !== 1) {
        throw new InvalidIdentityError(
          `${this.name} has a key of ${this.keyColumns.length} columns; give an object with ${this.#keyPaths()} instead of ${shownValue(id)}.`,
        );
      }
      return [this.#keyParameter(this.keyColumns[0]!, id)];
    }
    const only = this.keyColumns.length === 1 ? this.keyColumns[0]! : null;
    if (only !== null && only.get(id) === undefined) return [this.#keyParameter(only, id)];
    return this.keyColumns.map((column) => this.#keyParameter(column, column.get(id)));
  }

  childFor(discriminatorValue: unknown): EntityMapping {
    if (this.#children === null) {
      this.#children = new Map();
      for (const child of this.hierarchy) {
        if (child.discriminatorValue !== null) this.#children.set(child.discriminatorValue, child);
      }
    }
    return this.#children.get(String(discriminatorValue)) ?? this;
  }

  #keyParameter(column: CompiledColumn, value: unknown): unknown {
    const parameter = value === undefined || value === null ? null : column.toParameter(value);
    if (parameter === null || parameter === undefined) {
      throw new InvalidIdentityError(
        `The id of ${this.name} lacks ${column.path}; give ${this.keyColumns.length === 1 ? 'a value' : `an object with ${this.#keyPaths()}`}.`,
      );
    }
    return parameter;
  }

  #keyPaths(): string {
    return this.keyColumns.map((column) => column.path).join(', ');
  }
}

function positionsOf(columns: readonly CompiledColumn[], read: readonly CompiledColumn[]): number[] {
  return columns.map((column) => read.indexOf(column));
}

/** TypeORM's own way to make an instance, shortened where nothing but the constructor takes part. */
function compileCreate(dataSource: DataSource, metadata: EntityMetadata): () => object {
  const { target } = metadata;
  if (
    typeof target === 'function' &&
    metadata.lazyRelations.length === 0 &&
    dataSource.options.typename === undefined
  ) {
    const Target = target as unknown as new () => object;
    return metadata.isAlwaysUsingConstructor
      ? () => new Target()
      : () => Object.create(Target.prototype as object) as object;
  }
  return () => metadata.create(undefined, { fromDeserializer: true }) as object;
}

function whyUnsupported(metadata: EntityMetadata, mapping: { keyColumns: readonly unknown[] }): string | null {
  if (metadata.treeType !== undefined) {
    return `it is a tree kept as ${metadata.treeType}, whose bookkeeping only TypeORM's tree repository does`;
  }
  if (metadata.isClosureJunction) return 'it is the closure table of a tree';
  if (mapping.keyColumns.length === 0) return 'it has no primary key, so its rows have no identity';
  const spatial = metadata.columns.find(({ type }) => type === 'geometry' || type === 'geography');
  if (spatial !== undefined) {
    return `its column ${spatial.propertyPath} is of the PostGIS type ${String(spatial.type)}, which only TypeORM's own queries convert`;
  }
  return null;
}
