import type { ColumnMapping, EntityMapping, IdentityKey, RelationMapping } from '../database/entity-mapping.js';
import type { Report } from '../diagnostics/report.js';
import { StaleDataError } from '../errors/flush-errors.js';
import { InvalidSessionOperationError } from '../errors/session-errors.js';
import { shownValue } from '../errors/shown-value.js';
import { stateFor, stateOf } from './instance-state.js';
import type { InstanceState } from './instance-state.js';
import type { Reader } from './reader.js';
import { snapshotOfRelation } from './relation-snapshots.js';
import { describe } from './unit-of-work.js';
import type { UnitOfWork } from './unit-of-work.js';

/** What `merge` takes. */
export interface MergeOptions {
  /**
   * False copies detached, unchanged objects without a query, and believes what they say of their rows: for
   * objects out of a cache.
   */
  readonly load?: boolean;
}

interface MergingSession {
  autoflush(operation: string): Promise<void> | undefined;
}

/** Where the values of a given object go: the session's object for the same row, or a new one. */
interface Merged {
  readonly source: object;
  readonly mapping: EntityMapping;
  readonly target: object;
  /** The target's state where it stands for a row already. */
  readonly state: InstanceState | null;
}

/**
 * Copies the state of given objects, and of what they reach, onto the session's own objects: of the same row
 * where there is one, else new. The rows are read with one query for each table, however many objects there are.
 */
export class Merging {
  readonly #session: MergingSession;
  readonly #unit: UnitOfWork;
  readonly #reader: Reader;
  readonly #report: Report;

  constructor(session: MergingSession, unit: UnitOfWork, reader: Reader, report: Report) {
    this.#session = session;
    this.#unit = unit;
    this.#reader = reader;
    this.#report = report;
  }

  async merge(entities: readonly object[], options: MergeOptions, operation: string): Promise<object[]> {
    for (const entity of entities) this.#unit.mappingOf(entity);
    if (options.load === false) {
      const copies = new Map<object, object>();
      return entities.map((entity) => this.#copyLoaded(entity, copies));
    }
    // Once, in front: what is half merged must not be written.
    await this.#session.autoflush(operation);
    const targets = new Map<object, object>();
    const sources = this.#reach(entities, targets);
    const merged = await this.#findTargets(sources, targets, operation);
    await this.#loadCollections(merged, operation);
    for (const one of merged) this.#copy(one, targets);
    for (const one of merged) if (one.state === null) this.#unit.add(one.target);
    return entities.map((entity) => targets.get(entity)!);
  }

  /** The given objects and those that they reach; those of this session stand for themselves. */
  #reach(entities: readonly object[], targets: Map<object, object>): Map<object, EntityMapping> {
    const sources = new Map<object, EntityMapping>();
    const queue = [...entities];
    for (const entity of queue) {
      if (sources.has(entity) || targets.has(entity)) continue;
      const own = this.#unit.own(entity);
      if (own !== undefined) {
        this.#expectLive(own);
        targets.set(entity, entity);
        continue;
      }
      const mapping = this.#unit.mappingOf(entity);
      sources.set(entity, mapping);
      for (const relation of mapping.relations) {
        if (relation.persistence) queue.push(...objectsOf(relation.get(entity)));
      }
    }
    return sources;
  }

  #expectLive(state: InstanceState): void {
    if (state.state === 'pending') {
      this.#report({
        code: 'UOW_WARN_MERGE_OF_PENDING',
        message: `merge: this ${state.mapping.name} is pending in the session already, so it is given back as it is. Give merge an object from outside the session.`,
      });
    } else if (state.state === 'deleted') {
      throw new InvalidSessionOperationError(
        `merge: ${describe(state)} was deleted by this session. Use makeTransient() first to insert it again.`,
      );
    }
  }

  async #findTargets(
    sources: ReadonlyMap<object, EntityMapping>,
    targets: Map<object, object>,
    operation: string,
  ): Promise<Merged[]> {
    const missing = new Map<EntityMapping, Map<IdentityKey, readonly unknown[]>>();
    for (const [source, mapping] of sources) {
      const key = keyOf(source, mapping);
      if (key === null) continue;
      const known = this.#unit.identity.get(mapping, key.name);
      if (known !== undefined && !this.#reader.rows.isDue(known)) continue;
      const { root } = mapping;
      const keys = missing.get(root) ?? new Map<IdentityKey, readonly unknown[]>();
      missing.set(root, keys.set(key.name, key.parameters));
    }
    for (const [root, keys] of missing) await this.#reader.readByKey(root, keys, {}, operation);

    const created = new Map<EntityMapping, Map<IdentityKey, object>>();
    return [...sources].map(([source, mapping]) => {
      const key = keyOf(source, mapping);
      const state = key === null ? undefined : this.#unit.identity.get(mapping, key.name);
      let target: object | undefined = state?.entity;
      if (target === undefined && key !== null) target = created.get(mapping.root)?.get(key.name);
      if (target === undefined) {
        target = mapping.create();
        if (key !== null) {
          const ofTable = created.get(mapping.root) ?? new Map<IdentityKey, object>();
          created.set(mapping.root, ofTable.set(key.name, target));
        }
      }
      targets.set(source, target);
      return { source, mapping: state?.mapping ?? mapping, target, state: state ?? null };
    });
  }

  /** What a collection lacks afterwards can only be told from what it held before. */
  async #loadCollections(merged: readonly Merged[], operation: string): Promise<void> {
    const owners = new Map<RelationMapping, InstanceState[]>();
    for (const { source, mapping, state } of merged) {
      if (state === null) continue;
      for (const relation of mapping.relations) {
        if (relation.isOwningToOne || !relation.persistence || relation.get(source) === undefined) continue;
        const group = owners.get(relation);
        if (group === undefined) owners.set(relation, [state]);
        else group.push(state);
      }
    }
    for (const [relation, states] of owners) {
      await this.#reader.relations.loadRelation(relation, states, operation, 'missing');
    }
  }

  #copy({ source, mapping, target, state }: Merged, targets: ReadonlyMap<object, object>): void {
    if (state !== null) expectSameVersion(source, state);
    for (const column of mapping.columns) {
      if (!column.isProperty || column.role === 'discriminator') continue;
      // What a row's key is and when it was last written is not the given object's to say.
      if (state !== null && (column.isKey || !column.updatable || MANAGED.has(column.role))) continue;
      copyColumn(column, source, target);
    }
    for (const relation of mapping.relations) {
      if (!relation.persistence) continue;
      const value = relation.get(source);
      if (value === undefined) continue;
      if (relation.isToMany) {
        replaceItems(
          relation,
          target,
          objectsOf(value).flatMap((item) => targets.get(item) ?? []),
        );
      } else {
        // What the row says anyway is then no change.
        if (state !== null && relation.isOwningToOne) this.#reader.relations.showKnown(state, relation);
        const related = value === null ? null : targets.get(value);
        if (related !== undefined && relation.get(target) !== related) relation.set(target, related);
      }
    }
  }

  /** A persistent object that knows of its row what the given one knows. */
  #copyLoaded(source: object, copies: Map<object, object>): object {
    const done = copies.get(source);
    if (done !== undefined) return done;
    const own = this.#unit.own(source);
    if (own !== undefined) return source;
    const mapping = this.#unit.mappingOf(source);
    const from = stateOf(source);
    if (from === undefined || from.snapshot === null || from.key === null || from.wasDeleted) {
      throw new InvalidSessionOperationError(
        `merge with load: false: this ${mapping.name} stands for no row. Only what was loaded can be merged without a query; leave load out.`,
      );
    }
    if (this.#unit.isChanged(from)) {
      throw new InvalidSessionOperationError(
        `merge with load: false: ${describe(from)} has changes that were not flushed. Flush them where they were made, or leave load out.`,
      );
    }
    const known = this.#unit.identity.get(mapping, from.key);
    const target = known?.entity ?? from.mapping.create();
    copies.set(source, target);
    const state = known ?? stateFor(target, from.mapping);
    this.#unit.memory.touch(state);
    state.snapshot = from.snapshot;
    for (const column of from.mapping.columns) {
      const frozen = from.snapshot[column.index];
      if (column.isProperty && frozen !== undefined) column.set(target, column.thaw(frozen));
    }
    if (known === undefined) this.#unit.adopt(state, from.key);
    this.#unit.believe(state);
    this.#copyLoadedRelations(from, state, copies);
    return target;
  }

  #copyLoadedRelations(from: InstanceState, state: InstanceState, copies: Map<object, object>): void {
    for (const relation of from.mapping.relations) {
      const seen = from.relations?.[relation.index];
      if (seen === undefined || !relation.persistence) continue;
      const copy = (related: object): object => this.#copyLoaded(related, copies);
      const value = seen.isToMany ? seen.items.map(copy) : seen.related === null ? null : copy(seen.related);
      relation.set(state.entity, value);
      state.relations = state.relations === null ? [] : [...state.relations];
      state.relations[relation.index] = snapshotOfRelation(relation, value);
    }
  }
}

const MANAGED: ReadonlySet<string> = new Set(['version', 'updateDate']);

/** The key that says which row an object means; null while a part of it is missing. */
function keyOf(
  source: object,
  mapping: EntityMapping,
): { readonly name: IdentityKey; readonly parameters: readonly unknown[] } | null {
  const state = stateOf(source);
  if (state?.key != null && state.snapshot !== null) {
    const { snapshot } = state;
    return { name: state.key, parameters: mapping.keyColumns.map((column) => column.storedParameter(snapshot)) };
  }
  const name = mapping.keyOf(source);
  if (name === null) return null;
  return { name, parameters: mapping.keyColumns.map((column) => column.toParameter(column.get(source))) };
}

function objectsOf(value: unknown): object[] {
  const list: readonly unknown[] = Array.isArray(value) ? (value as unknown[]) : [value];
  return list.filter((item): item is object => typeof item === 'object' && item !== null);
}

/** A given object with a version means the row of that version; one without means whatever is there. */
function expectSameVersion(source: object, state: InstanceState): void {
  const { version } = state.mapping;
  if (version === null) return;
  const given = version.get(source);
  const known = state.snapshot![version.index];
  if (given === undefined || given === null || known === undefined || version.same(given, known)) return;
  throw new StaleDataError(
    `merge: the given ${state.mapping.name} has version ${shownValue(given)}, and ${describe(state)} has version ${shownValue(known)} by now. Read it again and repeat, or leave the version out to merge onto whatever is there.`,
    state.mapping.name,
    Object.fromEntries(
      state.mapping.keyColumns.map((column) => [column.path, column.storedParameter(state.snapshot!)]),
    ),
    given,
  );
}

function copyColumn(column: ColumnMapping, source: object, target: object): void {
  const value = column.get(source);
  if (value === undefined) return;
  if (typeof value === 'function') {
    column.set(target, value);
    return;
  }
  const frozen = column.freeze(value);
  const current = column.get(target);
  if (current !== undefined && column.same(current, frozen)) return;
  column.set(target, column.thaw(frozen));
}

/** Gives a collection new contents in the array that it has; the same contents in another order change nothing. */
function replaceItems(relation: RelationMapping, target: object, items: object[]): void {
  const array = relation.get(target);
  if (!Array.isArray(array)) {
    relation.set(target, items);
    return;
  }
  const had = new Set<unknown>(array);
  if (had.size === items.length && items.every((item) => had.has(item))) return;
  array.splice(0, array.length, ...items);
}
