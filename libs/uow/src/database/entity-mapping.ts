/**
 * The port through which sessions and flushes see an entity: its table, columns, key and relations, with
 * accessors compiled once. `typeorm/` implements it from `EntityMetadata`; nothing above it reads metadata.
 *
 * Three forms of a value appear here. The *property value* is what the entity holds. The *frozen value* is what a
 * snapshot holds: primitives as they are, copies of everything mutable. The *parameter* is what the driver sends.
 */

/** What a column is to the unit of work, beyond holding a value. */
export type ColumnRole = 'plain' | 'version' | 'createDate' | 'updateDate' | 'deleteDate' | 'discriminator';

/** How the database makes a key that the insert leaves out. */
export type KeyGeneration = 'sequence' | 'uuid';

export interface ColumnMapping {
  /** Position in `EntityMapping.columns` and in snapshots. */
  readonly index: number;
  /** The column's name in the database, unquoted. */
  readonly name: string;
  /** The quoted name. */
  readonly sql: string;
  /** Property path in the entity, such as `balance` or `address.city`; for a foreign key without a property of its own, the relation's. */
  readonly path: string;
  /** False for a foreign key that only a relation shows. */
  readonly isProperty: boolean;
  readonly role: ColumnRole;
  readonly isKey: boolean;
  readonly nullable: boolean;
  /** True when the database fills the column of an insert that leaves it out. */
  readonly hasDefault: boolean;
  readonly generation: KeyGeneration | null;
  /** GENERATED ALWAYS AS IDENTITY. */
  readonly generatedAlways: boolean;
  /** GENERATED ALWAYS AS (expression): never written. */
  readonly computed: boolean;
  readonly selected: boolean;
  readonly insertable: boolean;
  readonly updatable: boolean;
  /** The full type, such as `numeric(10,2)` or `"role"`. */
  readonly type: string;
  /** The type that a domain stands for, without lengths; the type itself for any other. */
  readonly baseType: string;
  /** The element type of parameter arrays, such as `numeric`; `text` where the value needs a cast to `type`. */
  readonly arrayType: string;
  /** SQL that draws one value as the column's default would; null without a default. */
  readonly drawSql: string | null;
  /** True when an element of a parameter array must be cast to `type`. */
  readonly castsElement: boolean;
  /** True where driver values are primitives that go into entity and snapshot unchanged. */
  readonly isPlain: boolean;
  /** Slot of the snapshot that keeps the stored form beside the property's, where a transformer stands between them; -1 without. */
  readonly rawSlot: number;

  get(entity: object): unknown;
  set(entity: object, value: unknown): void;
  /** A copy of a property value that no later mutation can reach. */
  freeze(value: unknown): unknown;
  /** As `freeze`, for a value that the driver read: what the server has is kept in full for checks on old values. */
  freezeRead(value: unknown, raw: unknown): unknown;
  /** A fresh property value from a frozen one. */
  thaw(frozen: unknown): unknown;
  /** True when the property still has the frozen value. */
  same(value: unknown, frozen: unknown): boolean;
  /** The parameter for a property value. */
  toParameter(value: unknown): unknown;
  /** The property value for what the driver read. */
  fromRow(raw: unknown): unknown;
  /** The parameter, without the transformer, for what the driver read. */
  rawToParameter(raw: unknown): unknown;
  /** The part of an identity key for a stored value, as read or as sent. */
  keyPart(stored: unknown): string | number;
  /** The parameter for the stored value of a snapshot, for keys and for checks on old values. */
  storedParameter(snapshot: Snapshot): unknown;
  /** SQL that is true when the column still has the old value (`left` the column, `right` a parameter of `arrayType`). */
  unchangedSql(left: string, right: string): string;
}

/**
 * The last state of a row that a session knows: frozen values by column index, then raw slots.
 * `undefined` marks what was not loaded. A snapshot is never changed once it is in place.
 */
export type Snapshot = readonly unknown[];

export type RelationKind = 'many-to-one' | 'one-to-one' | 'one-to-one-inverse' | 'one-to-many' | 'many-to-many';

export interface RelationMapping {
  /** Position in `EntityMapping.relations`. */
  readonly index: number;
  /** Property path. */
  readonly path: string;
  readonly kind: RelationKind;
  readonly isToMany: boolean;
  /** True when the foreign key is in the entity's own table (many-to-one, owning one-to-one). */
  readonly isOwningToOne: boolean;
  readonly source: EntityMapping;
  readonly target: EntityMapping;
  readonly inverse: RelationMapping | null;
  /** Owning to-one: foreign key columns here, and what they refer to in the target, pairwise. */
  readonly joinColumns: readonly ColumnMapping[];
  readonly referencedColumns: readonly ColumnMapping[];
  /** Many-to-many: the join table, its columns for this side and for the other, with what each refers to. */
  readonly junction: EntityMapping | null;
  readonly junctionSource: readonly ColumnReference[];
  readonly junctionTarget: readonly ColumnReference[];
  /** True on the side of a many-to-many relation that declares the join table. */
  readonly ownsJunction: boolean;
  readonly nullable: boolean;
  readonly eager: boolean;
  readonly lazy: boolean;
  readonly persistence: boolean;
  readonly cascadeRemove: boolean;
  readonly cascadeSoftRemove: boolean;
  readonly orphanAction: 'nullify' | 'delete' | 'soft-delete' | 'disable';
  readonly onDelete: 'CASCADE' | 'SET NULL' | 'SET DEFAULT' | 'RESTRICT' | 'NO ACTION' | undefined;
  readonly deferrable: boolean;
  get(entity: object): unknown;
  set(entity: object, value: unknown): void;
}

/** Columns whose values together may be there once only. */
export interface UniqueKey {
  readonly columns: readonly ColumnMapping[];
  /** True when the server checks it at the end of the statement or later, not row by row. */
  readonly isDeferrable: boolean;
}

export interface ColumnReference {
  readonly column: ColumnMapping;
  readonly referenced: ColumnMapping;
}

/** Reads result rows of one layout; compiled once for a layout. */
export interface RowReader {
  /** Where each column stands in the row, by column index; -1 where it does not. */
  readonly positions: readonly number[];
  /** Columns that a whole row has and these rows lack; null where they are whole. */
  readonly missing: ReadonlySet<ColumnMapping> | null;
  /**
   * Writes a row into an entity and gives the snapshot. May use up the row.
   * @param base the entity's snapshot until now, whose values stay for columns that the row lacks; null for a new
   * instance, whose properties for those columns are cleared
   */
  load(entity: object, row: unknown[], base: Snapshot | null): Snapshot;
  /** The identity key, or null when the row has none (an outer join's empty side). */
  key(row: unknown[]): IdentityKey | null;
}

/** A row's key within its mapping: the key column's value, or the parts of a composite key joined. */
export type IdentityKey = string | number;

export interface EntityMapping {
  /** The class, or the name of an `EntitySchema`. */
  readonly target: Function | string;
  readonly name: string;
  /** Quoted table path. */
  readonly table: string;
  readonly columns: readonly ColumnMapping[];
  readonly keyColumns: readonly ColumnMapping[];
  readonly relations: readonly RelationMapping[];
  readonly version: ColumnMapping | null;
  readonly createDate: ColumnMapping | null;
  readonly updateDate: ColumnMapping | null;
  readonly deleteDate: ColumnMapping | null;
  readonly discriminator: ColumnMapping | null;
  readonly discriminatorValue: string | null;
  /** The mapping whose identity space this one shares: the top of a single-table hierarchy, else itself. */
  readonly root: EntityMapping;
  /** Children of a single-table hierarchy, itself included. */
  readonly hierarchy: readonly EntityMapping[];
  /** The tables that the entity's foreign keys refer to, by their mappings. */
  readonly parents: readonly EntityMapping[];
  /** Unique constraints and indexes, without the primary key. */
  readonly uniqueKeys: readonly UniqueKey[];
  /** Why sessions do not support the entity; null when they do. */
  readonly unsupported: string | null;
  /** A view or otherwise never written. */
  readonly isReadOnly: boolean;
  /** Columns that a read selects, in the order of the select list. */
  readonly readColumns: readonly ColumnMapping[];
  /** `"id", "balance", …` of `readColumns`, each behind the given table alias. */
  selectList(alias: string): string;
  /** Number of slots of a snapshot. */
  readonly slots: number;
  /** False where triggers or row-level security make row counts unreliable. */
  readonly confirmRows: boolean;
  /** Whether unversioned updates check old values. */
  readonly staleCheck: boolean;
  /** TypeORM's entity listeners and subscribers of the entity. */
  readonly listeners: EntityListeners;

  /** A new instance, made as TypeORM makes it. */
  create(): object;
  /** False where that does without the class's constructor. */
  readonly callsConstructor: boolean;
  /** The reader of rows whose first columns are `readColumns`. */
  readonly reader: RowReader;
  /** A reader for rows in which the column of index i stands at `positions[i]` (-1: not there). */
  readerFor(positions: readonly number[]): RowReader;
  /** True when a column property differs from the snapshot. Compiled; allocates nothing. Relations are compared apart. */
  isChanged(entity: object, snapshot: Snapshot): boolean;
  /** The columns in which it differs; null where it does in none. */
  changedColumns(entity: object, snapshot: Snapshot): readonly ColumnMapping[] | null;
  /** The identity key of an entity's property values; null while a part is missing. */
  keyOf(entity: object): IdentityKey | null;
  keyOfSnapshot(snapshot: Snapshot): IdentityKey;
  /** The identity key of stored values of the key columns, in their order. */
  keyOfStored(stored: readonly unknown[]): IdentityKey;
  /** Parameters of the key columns for what a user gives as an id: a value, or an object of parts. */
  keyParameters(id: unknown): unknown[];
  /** The mapping of the class that a discriminator value stands for. */
  childFor(discriminatorValue: unknown): EntityMapping;
}

/** Moments of an object's life that entity listeners and subscribers hear of. */
export type ListenedMoment =
  'beforeInsert' | 'afterInsert' | 'beforeUpdate' | 'afterUpdate' | 'beforeRemove' | 'afterRemove' | 'afterLoad';

/** What a subscriber is told beside the entity. */
export interface ListenedEvent {
  /** The transaction that it happens in; null for a load outside one. */
  readonly transaction: object | null;
  /** The object as the row was, for changes and removals. */
  readonly before: object | undefined;
  /** Paths of changed columns and relations. */
  readonly changed: readonly string[];
  readonly relations: readonly string[];
}

export interface EntityListeners {
  has(moment: ListenedMoment): boolean;
  /** False where nobody listens at any moment. */
  readonly isHeard: boolean;
  /** Calls them one after another, and waits for each. */
  run(moment: ListenedMoment, entity: object, event: ListenedEvent): Promise<void>;
}

/** All mappings of a data source. */
export interface EntityMappings {
  /** @throws UnmappedEntityError when the data source does not know the class */
  of(target: unknown): EntityMapping;
  /** The mapping of an instance by its class; null when it is of no mapped class. */
  ofEntity(entity: object): EntityMapping | null;
  /** Every mapping, join tables included. */
  readonly all: readonly EntityMapping[];
}
