import type {
  ColumnMapping,
  ColumnReference,
  EntityMapping,
  RelationKind,
  RelationMapping,
} from '../database/entity-mapping.js';
import type { RelationMetadata } from 'typeorm';
import { InvalidSessionOperationError } from '../errors/session-errors.js';
import { compileGetter, compileSetter, embeddedPath } from './property-access.js';
import type { ColumnMetadata } from './value-conversion.js';

/** What a relation needs to know of the other mappings; they are compiled one after another. */
export interface MappingLookup {
  of(metadata: object): EntityMapping;
}

/** One relation of a mapping, compiled from TypeORM's metadata. */
export class CompiledRelation implements RelationMapping {
  readonly path: string;
  readonly kind: RelationKind;
  readonly isToMany: boolean;
  readonly isOwningToOne: boolean;
  readonly ownsJunction: boolean;
  readonly nullable: boolean;
  readonly eager: boolean;
  readonly lazy: boolean;
  readonly persistence: boolean;
  readonly cascadeRemove: boolean;
  readonly cascadeSoftRemove: boolean;
  readonly orphanAction: RelationMapping['orphanAction'];
  readonly onDelete: RelationMapping['onDelete'];
  readonly deferrable: boolean;
  readonly get: (entity: object) => unknown;
  readonly set: (entity: object, value: unknown) => void;
  readonly #lookup: MappingLookup;
  #links: Links | null = null;

  constructor(
    readonly metadata: RelationMetadata,
    readonly index: number,
    readonly source: EntityMapping,
    lookup: MappingLookup,
  ) {
    this.#lookup = lookup;
    this.path = metadata.propertyPath;
    this.kind = kindOf(metadata);
    this.isToMany = metadata.isOneToMany || metadata.isManyToMany;
    this.isOwningToOne = metadata.isManyToOne || metadata.isOneToOneOwner;
    this.ownsJunction = metadata.isManyToManyOwner;
    this.nullable = metadata.isNullable;
    this.eager = metadata.isEager;
    this.lazy = metadata.isLazy;
    this.persistence = metadata.persistenceEnabled;
    this.cascadeRemove = metadata.isCascadeRemove;
    this.cascadeSoftRemove = metadata.isCascadeSoftRemove;
    // TypeORM declares the action on the owning side, and an inverse side asks there.
    this.orphanAction = (this.isOwningToOne ? metadata : metadata.inverseRelation)?.orphanedRowAction ?? 'nullify';
    this.onDelete = metadata.onDelete as RelationMapping['onDelete'];
    this.deferrable = metadata.deferrable !== undefined;
    const owner = embeddedPath(metadata.embeddedMetadata);
    const name = metadata.isLazy ? `__${metadata.propertyName}__` : metadata.propertyName;
    const get = compileGetter(owner, name);
    this.get = metadata.isLazy ? (entity) => get(entity) ?? this.#withoutPromise(entity, get(entity)) : get;
    this.set = compileSetter(owner, name);
  }

  /** A promise in a plain property would be passed over, and the relation written as if it were empty. */
  #withoutPromise(entity: object, value: unknown): unknown {
    const plain: unknown = Object.getOwnPropertyDescriptor(entity, this.metadata.propertyName)?.value;
    if (!(plain instanceof Promise)) return value;
    throw new InvalidSessionOperationError(
      `${this.source.name}.${this.path} is a lazy relation, and this object has a plain promise there, which sessions do not wait for. Make the object with TypeORM (manager.create(${this.source.name})), which gives it lazy properties, or declare the relation without lazy.`,
    );
  }

  get target(): EntityMapping {
    return this.#resolved.target;
  }

  get inverse(): RelationMapping | null {
    return this.#resolved.inverse;
  }

  get joinColumns(): readonly ColumnMapping[] {
    return this.#resolved.joinColumns;
  }

  get referencedColumns(): readonly ColumnMapping[] {
    return this.#resolved.referencedColumns;
  }

  get junction(): EntityMapping | null {
    return this.#resolved.junction;
  }

  get junctionSource(): readonly ColumnReference[] {
    return this.#resolved.junctionSource;
  }

  get junctionTarget(): readonly ColumnReference[] {
    return this.#resolved.junctionTarget;
  }

  get #resolved(): Links {
    return (this.#links ??= this.#resolve());
  }

  #resolve(): Links {
    const { metadata } = this;
    const target = this.#lookup.of(metadata.inverseEntityMetadata);
    const inverse = target.relations.find(
      (relation) => (relation as CompiledRelation).metadata.propertyPath === metadata.inverseRelation?.propertyPath,
    );
    const owning = this.isOwningToOne ? metadata.joinColumns : [];
    const junction =
      metadata.junctionEntityMetadata === undefined ? null : this.#lookup.of(metadata.junctionEntityMetadata);
    const references = (columns: readonly ColumnMetadata[], referred: EntityMapping): ColumnReference[] =>
      columns.map((column) => ({
        column: columnNamed(junction!, column.databaseName),
        referenced: columnNamed(referred, column.referencedColumn!.databaseName),
      }));
    // The join table's columns are declared by the owner: seen from the other side they change places.
    const declared = metadata.isManyToManyOwner ? metadata : metadata.inverseRelation;
    const [near, far] = metadata.isManyToManyOwner
      ? [declared?.joinColumns, declared?.inverseJoinColumns]
      : [declared?.inverseJoinColumns, declared?.joinColumns];
    return {
      target,
      inverse: inverse ?? null,
      joinColumns: owning.map((column) => columnNamed(this.source, column.databaseName)),
      referencedColumns: owning.map((column) => columnNamed(target, column.referencedColumn!.databaseName)),
      junction,
      junctionSource: junction === null ? [] : references(near ?? [], this.source),
      junctionTarget: junction === null ? [] : references(far ?? [], target),
    };
  }
}

interface Links {
  readonly target: EntityMapping;
  readonly inverse: RelationMapping | null;
  readonly joinColumns: readonly ColumnMapping[];
  readonly referencedColumns: readonly ColumnMapping[];
  readonly junction: EntityMapping | null;
  readonly junctionSource: readonly ColumnReference[];
  readonly junctionTarget: readonly ColumnReference[];
}

function columnNamed(mapping: EntityMapping, name: string): ColumnMapping {
  const column = mapping.columns.find((candidate) => candidate.name === name);
  if (column === undefined) throw new TypeError(`${mapping.name} has no column ${name}`);
  return column;
}

function kindOf(metadata: RelationMetadata): RelationKind {
  if (metadata.isManyToOne) return 'many-to-one';
  if (metadata.isOneToMany) return 'one-to-many';
  if (metadata.isManyToMany) return 'many-to-many';
  return metadata.isOneToOneOwner ? 'one-to-one' : 'one-to-one-inverse';
}
