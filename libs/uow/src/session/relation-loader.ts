import { blankArray } from '../database/blank-array.js';
import type { ColumnMapping, EntityMapping, IdentityKey, RelationMapping } from '../database/entity-mapping.js';
import type { RelationSelects } from '../database/loading.js';
import { InvalidSessionOperationError } from '../errors/session-errors.js';
import { setRelation } from './flush-result.js';
import { ToManySnapshot, ToOneSnapshot } from './instance-state.js';
import type { InstanceState, RelationSnapshot } from './instance-state.js';
import type { Reader } from './reader.js';
import {
  byColumn,
  keyOfRow,
  keyOfSnapshot,
  keyOfValues,
  pick,
  selectByColumns,
  selectThroughJunction,
} from './relation-queries.js';
import type { Picked } from './relation-queries.js';
import { referredObject } from './relation-snapshots.js';
import type { UnitOfWork } from './unit-of-work.js';

/**
 * `missing`: what is not loaded or not up to date, and not changed; `fresh`: in any case; `again`: in any case, and
 * the objects in it are overwritten; `baseline`: only what the database has is noted, and what is set there stays.
 */
export type LoadMode = 'missing' | 'fresh' | 'again' | 'baseline';

export interface LoadOptions {
  /** Read relations that are loaded already, too, and overwrite the objects in them. */
  readonly again?: boolean;
  /** Columns to read of new objects, where not all. */
  readonly selects?: RelationSelects | null;
  /** Soft-deleted objects, too. */
  readonly withDeleted?: boolean;
}

const OVERWRITING = { populateExisting: true };

/** Loads relations of many objects at once: one query for each relation, however many objects there are. */
export class RelationLoader {
  readonly #unit: UnitOfWork;
  readonly #reader: Reader;

  constructor(unit: UnitOfWork, reader: Reader) {
    this.#unit = unit;
    this.#reader = reader;
  }

  /**
   * Loads relations by path, outer ones first.
   * @param paths such as `entries`, `entries.account`
   */
  async load(
    states: readonly InstanceState[],
    paths: readonly string[],
    operation: string,
    { again = false, selects = null, withDeleted = false }: LoadOptions = {},
  ): Promise<void> {
    if (states.length === 0) return;
    const steps = stepsOf(states[0]!.mapping, paths);
    const loaded = new Map<string, readonly InstanceState[]>([['', states]]);
    for (const { path, name, parent } of steps) {
      const hasMore = steps.some((step) => step.parent === path);
      const related: InstanceState[] = [];
      for (const [mapping, group] of byMapping(loaded.get(parent) ?? [])) {
        const relation = relationNamed(mapping, name, path);
        if (relation === null) continue;
        const picked = pick(relation, selects?.get(path) ?? null, withDeleted);
        await this.loadRelation(relation, group, operation, again ? 'again' : 'missing', picked);
        if (hasMore) for (const owner of group) this.#collect(relation, owner, related);
      }
      loaded.set(path, related);
    }
  }

  #collect(relation: RelationMapping, owner: InstanceState, into: InstanceState[]): void {
    const value = relation.get(owner.entity);
    const objects = Array.isArray(value) ? (value as object[]) : value == null ? [] : [value];
    for (const object of objects) {
      const state = this.#unit.own(object);
      if (state !== undefined && state.snapshot !== null) into.push(state);
    }
  }

  /** Loads one relation of objects that all have it. */
  async loadRelation(
    relation: RelationMapping,
    owners: readonly InstanceState[],
    operation: string,
    mode: LoadMode,
    picked: Picked = pick(relation),
  ): Promise<void> {
    this.#unit.supported(relation.target);
    const transaction = this.#reader.transaction();
    const wanted = owners.filter((owner) => {
      if (mode !== 'missing') return true;
      const seen = owner.relations?.[relation.index];
      const isLoaded = seen !== undefined && !seen.isStale && !this.#reader.rows.isStale(owner, transaction);
      if (isLoaded && this.#isRead(seen, picked)) return false;
      const value = relation.get(owner.entity);
      // What the user has set there is a change, and stays unless it is to be given up.
      return value === undefined || (seen !== undefined && !isChangedRelation(seen, value));
    });
    if (wanted.length === 0) return;
    if (relation.isOwningToOne) await this.#loadOwned(relation, wanted, operation, mode, picked);
    else await this.#loadInverse(relation, wanted, operation, mode, picked);
  }

  /** True when the objects in a relation have all that is wanted of them; what was read before may be less. */
  #isRead(seen: RelationSnapshot, picked: Picked): boolean {
    if (!seen.isToMany) return seen.related === null || this.#hasAll(seen.related, picked);
    return seen.items.every((item) => this.#hasAll(item, picked));
  }

  /** False where a column that is picked was never read, or has expired. */
  #hasAll(item: object, { reader }: Picked): boolean {
    const expired = this.#unit.own(item)?.expired ?? null;
    return expired === null || [...expired].every((column) => reader.missing?.has(column) === true);
  }

  /** Sets an owning relation that is not loaded where that takes no query: the session has the object, or there is none. */
  showKnown(owner: InstanceState, relation: RelationMapping): void {
    if (owner.relations?.[relation.index] !== undefined || relation.get(owner.entity) !== undefined) return;
    const related = referredObject(this.#unit, owner, relation);
    if (related === undefined) return;
    this.#placeOne(owner, relation, new ToOneSnapshot(related, this.#reader.transaction()), 'missing');
  }

  async #loadOwned(
    relation: RelationMapping,
    owners: readonly InstanceState[],
    operation: string,
    mode: LoadMode,
    picked: Picked,
  ): Promise<void> {
    const transaction = this.#reader.transaction();
    const { joinColumns, referencedColumns } = relation;
    const needed = new Map<IdentityKey, unknown[]>();
    for (const owner of owners) {
      const known = referredObject(this.#unit, owner, relation);
      if (known === null) continue;
      const state = known === undefined ? undefined : this.#unit.own(known);
      const isRead =
        state !== undefined && !this.#reader.rows.isStale(state, transaction) && this.#hasAll(state.entity, picked);
      if (mode === 'missing' && isRead) continue;
      const values = joinColumns.map((column) => column.storedParameter(owner.snapshot!));
      const key = keyOfValues(referencedColumns, values);
      if (key !== null) needed.set(key, values);
    }
    const found = new Map<IdentityKey | null, object>();
    if (needed.size > 0) {
      const { statement } = selectByColumns(
        picked,
        referencedColumns,
        byColumn(referencedColumns, [...needed.values()]),
      );
      const { rows } = await this.#reader.query(statement, operation);
      for (const entity of this.#absorb(picked, rows, mode)) {
        if (entity !== null) found.set(keyOfSnapshot(referencedColumns, this.#unit.own(entity)!.snapshot!), entity);
      }
    }
    for (const owner of owners) {
      const key = keyOfValues(
        referencedColumns,
        joinColumns.map((column) => column.storedParameter(owner.snapshot!)),
      );
      const related = key === null ? null : (referredObject(this.#unit, owner, relation) ?? found.get(key) ?? null);
      this.#placeOne(owner, relation, new ToOneSnapshot(related, transaction), mode);
    }
  }

  async #loadInverse(
    relation: RelationMapping,
    owners: readonly InstanceState[],
    operation: string,
    mode: LoadMode,
    picked: Picked,
  ): Promise<void> {
    const links = linksOf(relation);
    const own = links.map((link) => link.own);
    const values = own.map((column) => owners.map((owner) => column.storedParameter(owner.snapshot!)));
    const { statement, positions } =
      relation.kind === 'many-to-many'
        ? selectThroughJunction(relation, picked, values)
        : selectByColumns(
            picked,
            links.map((link) => link.column),
            values,
          );
    const { rows } = await this.#reader.query(statement, operation);
    // Before the rows are used up.
    const keys = (rows as unknown[][]).map((row) => keyOfRow(own, row, positions));
    const byOwner = new Map<IdentityKey | null, object[]>();
    this.#absorb(picked, rows, mode).forEach((entity, at) => {
      if (entity === null) return;
      const items = byOwner.get(keys[at]!);
      // Not a literal: see docs/decisions/0002.
      if (items === undefined) byOwner.set(keys[at]!, Array.of(entity));
      else items.push(entity);
    });
    const seenIn = this.#reader.transaction();
    for (const owner of owners) {
      const items = byOwner.get(keyOfSnapshot(own, owner.snapshot!)) ?? [];
      if (relation.isToMany) this.#placeMany(owner, relation, items, mode);
      else this.#placeOne(owner, relation, new ToOneSnapshot(items[0] ?? null, seenIn), mode);
    }
  }

  #absorb({ mapping, reader }: Picked, rows: readonly unknown[][], mode: LoadMode): (object | null)[] {
    return this.#reader.rows.absorbAll(mapping, reader, rows, mode === 'again' ? OVERWRITING : null);
  }

  #placeOne(owner: InstanceState, relation: RelationMapping, snapshot: ToOneSnapshot, mode: LoadMode): void {
    this.#reader.rows.touchRead(owner);
    if (mode !== 'baseline') setRelation(owner, relation, snapshot.related);
    note(owner, relation, snapshot);
  }

  /** Puts what was loaded in its place; an array that was there keeps its identity. */
  #placeMany(owner: InstanceState, relation: RelationMapping, items: object[], mode: LoadMode): void {
    this.#reader.rows.touchRead(owner);
    const seen = owner.relations?.[relation.index];
    const present = relation.get(owner.entity);
    const array =
      mode === 'baseline' && Array.isArray(present)
        ? (present as object[])
        : seen?.isToMany === true
          ? seen.array
          : items;
    const snapshot = new ToManySnapshot(array, items.slice(), this.#reader.transaction());
    if (mode !== 'baseline') {
      if (array !== items) array.splice(0, array.length, ...items);
      if (present !== array) setRelation(owner, relation, array);
    }
    note(owner, relation, snapshot);
  }
}

function note(owner: InstanceState, relation: RelationMapping, snapshot: RelationSnapshot): void {
  // Of the right length from the start: an array that grows takes room for many more.
  const relations = owner.relations?.slice() ?? blankArray(owner.mapping.relations.length);
  relations[relation.index] = snapshot;
  owner.relations = relations;
}

/** The columns that refer to the owners of an inverse or many-to-many relation, and what they refer to. */
function linksOf(relation: RelationMapping): { readonly column: ColumnMapping; readonly own: ColumnMapping }[] {
  if (relation.kind === 'many-to-many') {
    return relation.junctionSource.map(({ column, referenced }) => ({ column, own: referenced }));
  }
  const { inverse } = relation;
  return (inverse?.joinColumns ?? []).map((column, at) => ({ column, own: inverse!.referencedColumns[at]! }));
}

function byMapping(states: readonly InstanceState[]): Map<EntityMapping, InstanceState[]> {
  const groups = new Map<EntityMapping, InstanceState[]>();
  for (const state of states) {
    const group = groups.get(state.mapping);
    if (group === undefined) groups.set(state.mapping, [state]);
    else group.push(state);
  }
  return groups;
}

/** A relation of a class; null where only other classes of its hierarchy have it. */
function relationNamed(mapping: EntityMapping, name: string, path: string): RelationMapping | null {
  const relation = mapping.relations.find((candidate) => candidate.path === name);
  if (relation !== undefined) return relation;
  const isElsewhere = mapping.root.hierarchy.some((one) => one.relations.some((candidate) => candidate.path === name));
  if (isElsewhere) return null;
  throw new InvalidSessionOperationError(
    `${mapping.name} has no relation "${path}"; it has ${mapping.relations.map((one) => one.path).join(', ') || 'none'}.`,
  );
}

function isChangedRelation(seen: RelationSnapshot, value: unknown): boolean {
  if (!seen.isToMany) return seen.related !== value;
  const array = value as object[];
  return array.length !== seen.items.length || array.some((item, at) => item !== seen.items[at]);
}

/** One relation to load: its path from the first objects, its own name, and the path of what holds it. */
interface LoadStep {
  readonly path: string;
  readonly name: string;
  readonly parent: string;
  readonly depth: number;
}

/** Paths as steps, outer ones first. A relation inside an embedded object is one step, whatever dots its name has. */
function stepsOf(mapping: EntityMapping, paths: readonly string[]): LoadStep[] {
  const steps = new Map<string, LoadStep>();
  for (const whole of paths) {
    let at: EntityMapping | undefined = mapping;
    let parent = '';
    for (let rest = whole, depth = 0; rest !== ''; depth++) {
      const left: string = rest;
      const relation: RelationMapping | undefined = at?.root.hierarchy
        .flatMap((one) => one.relations)
        .find((one) => left === one.path || left.startsWith(`${one.path}.`));
      const name: string = relation?.path ?? left.split('.', 1)[0]!;
      const path = parent === '' ? name : `${parent}.${name}`;
      if (!steps.has(path)) steps.set(path, { path, name, parent, depth });
      at = relation?.target;
      parent = path;
      rest = left.slice(name.length + 1);
    }
  }
  return [...steps.values()].sort((a, b) => a.depth - b.depth);
}
