import { EntitySchema } from 'typeorm';
import type { DataSource, EntityMetadata } from 'typeorm';
import type { EntityMapping, EntityMappings } from '../database/entity-mapping.js';
import { UnmappedEntityError } from '../errors/session-errors.js';
import { CompiledMapping } from './entity-mapping.js';
import type { EntityPolicy } from './entity-mapping.js';
import { typesOfTables } from './table-types.js';
import type { TableType } from './table-types.js';

/** A policy for one entity, as the module's `entities` option gives it. */
export interface EntityPolicyEntry extends Partial<EntityPolicy> {
  readonly target: unknown;
}

/**
 * The mappings of one data source, compiled on first use and kept as long as the data source is. A data source
 * that is initialized again (tests do) has new metadata, and gets new mappings.
 */
export class CompiledMappings implements EntityMappings {
  readonly #dataSource: DataSource;
  readonly #policies: readonly EntityPolicyEntry[];
  readonly #staleCheck: boolean;
  readonly #compiled = new Map<EntityMetadata, CompiledMapping>();
  readonly #byClass = new Map<unknown, EntityMapping | null>();
  #metadatas: readonly EntityMetadata[] | null = null;
  #all: readonly EntityMapping[] | null = null;
  #tableTypes: ReadonlyMap<string, TableType> = new Map();

  /**
   * @param staleCheck whether unversioned updates check old values, unless an entity says otherwise
   */
  constructor(
    dataSource: DataSource,
    /** The name that the module knows the data source by. */
    readonly name: string,
    policies: readonly EntityPolicyEntry[] = [],
    staleCheck = true,
  ) {
    this.#dataSource = dataSource;
    this.#policies = policies;
    this.#staleCheck = staleCheck;
  }

  get all(): readonly EntityMapping[] {
    this.#renewIfInitializedAgain();
    return (this.#all ??= this.#dataSource.entityMetadatas.map((metadata) => this.#compile(metadata)));
  }

  of(target: unknown): EntityMapping {
    const mapping = this.#find(target);
    if (mapping === null) {
      throw new UnmappedEntityError(
        `${nameOf(target)} is not an entity of the data source "${this.name}". Add it to the data source's entities, or use the session of the data source that knows it.`,
      );
    }
    return mapping;
  }

  ofEntity(entity: object): EntityMapping | null {
    const constructor: unknown = entity.constructor;
    if (typeof constructor !== 'function' || constructor === Object) return null;
    return this.#find(constructor);
  }

  /**
   * Learns which columns have other types in their tables than in the metadata. Before anything is read or written:
   * mappings are compiled again. Tables that are not there yet are as the metadata says.
   */
  async learnTableTypes(): Promise<void> {
    const columns = this.all.flatMap(({ table, columns: own }) => own.map(({ name, type }) => ({ table, name, type })));
    const found = await typesOfTables(this.#dataSource, columns);
    if (found.size === 0) return;
    this.#tableTypes = new Map([...found].map(([{ table, name }, type]) => [`${table}.${name}`, type]));
    this.#forget();
  }

  #find(target: unknown): EntityMapping | null {
    this.#renewIfInitializedAgain();
    let mapping = this.#byClass.get(target);
    if (mapping === undefined) {
      const key = target instanceof EntitySchema ? (target.options.target ?? target.options.name) : target;
      const found = this.#dataSource.entityMetadatas.find(
        (metadata) =>
          metadata.target === key || (typeof key === 'string' && (metadata.name === key || metadata.tableName === key)),
      );
      mapping = found === undefined ? this.#inherited(key) : this.#compile(found);
      this.#byClass.set(target, mapping);
    }
    return mapping;
  }

  /** A class that extends an entity without being one is stored as its ancestor, as TypeORM does. */
  #inherited(target: unknown): EntityMapping | null {
    if (typeof target !== 'function') return null;
    const parent: unknown = Object.getPrototypeOf(target);
    return typeof parent === 'function' && parent !== Function.prototype ? this.#find(parent) : null;
  }

  #compile(metadata: EntityMetadata): CompiledMapping {
    let mapping = this.#compiled.get(metadata);
    if (mapping === undefined) {
      const policy = this.#policies.find(
        ({ target }) =>
          target === metadata.target ||
          target === metadata.name ||
          (target instanceof EntitySchema && target.options.name === metadata.name),
      );
      mapping = new CompiledMapping(
        this.#dataSource,
        metadata,
        { of: (other) => this.#compile(other as EntityMetadata) },
        { staleCheck: policy?.staleCheck ?? this.#staleCheck, confirmRows: policy?.confirmRows ?? true },
        (table, column) => this.#tableTypes.get(`${table}.${column}`),
      );
      this.#compiled.set(metadata, mapping);
    }
    return mapping;
  }

  #renewIfInitializedAgain(): void {
    if (this.#metadatas === this.#dataSource.entityMetadatas) return;
    this.#metadatas = this.#dataSource.entityMetadatas;
    this.#forget();
  }

  #forget(): void {
    this.#compiled.clear();
    this.#byClass.clear();
    this.#all = null;
  }
}

function nameOf(target: unknown): string {
  if (typeof target === 'function') return target.name || 'An anonymous class';
  if (target instanceof EntitySchema) return target.options.name;
  return typeof target === 'string' ? `"${target}"` : 'That value';
}
