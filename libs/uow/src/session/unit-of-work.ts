import { blankArray } from '../database/blank-array.js';
import type {
  ColumnMapping,
  EntityMapping,
  EntityMappings,
  IdentityKey,
  RelationMapping,
  Snapshot,
} from '../database/entity-mapping.js';
import {
  InvalidSessionOperationError,
  UnmappedEntityError,
  UnsupportedMappingError,
} from '../errors/session-errors.js';
import { forEachRelated, removedObjects } from './cascades.js';
import { IdentityMap } from './identity-map.js';
import { Reached, newState, stateFor, stateOf } from './instance-state.js';
import type { InstanceState, SessionIdentity, ToManySnapshot } from './instance-state.js';
import { isLegalMove } from './object-state.js';
import type { ObjectState, StateCause } from './object-state.js';
import { RollbackMemory } from './rollback-memory.js';
import type { SavedState } from './rollback-memory.js';
import type { SessionListeners } from './session-events.js';

let lastWalk = 0;

/**
 * The objects of one session and their states: which are new, which stand for rows, which are to go; and how
 * all of them get back to where they were. It does no I/O and knows no SQL.
 */
export class UnitOfWork {
  readonly identity = new IdentityMap();
  readonly memory = new RollbackMemory();
  /** Added and not flushed, in the order of `add`. */
  readonly pending = new Set<InstanceState>();
  /** Marked by `delete()` and not flushed. */
  readonly toDelete = new Set<InstanceState>();
  /** Deleted by a flush of the open unit of work. */
  readonly deleted = new Set<InstanceState>();
  /** True once a flush, or SQL of unknown effect, was sent: what is read from then on may be uncommitted. */
  hasWritten = false;
  #epoch = 0;
  /** What takes back the steps of `tentatively`; null outside it. */
  #undo: (() => void)[] | null = null;
  readonly #isChanged = (state: InstanceState): boolean => this.isChanged(state);

  constructor(
    readonly owner: SessionIdentity,
    readonly mappings: EntityMappings,
    readonly listeners: SessionListeners,
  ) {}

  // ── looking ───────────────────────────────────────────────────────────────────────────────────────────

  /**
   * The mapping of an object that a user handed in.
   * @throws UnmappedEntityError, UnsupportedMappingError
   */
  mappingOf(entity: unknown): EntityMapping {
    if (typeof entity !== 'object' || entity === null) {
      throw new UnmappedEntityError(`${String(entity)} is no entity. Give an instance of an entity class.`);
    }
    const mapping = stateOf(entity)?.mapping ?? this.mappings.ofEntity(entity);
    if (mapping === null) {
      const name = entity.constructor === Object ? 'A plain object' : `An instance of ${entity.constructor.name}`;
      throw new UnmappedEntityError(
        `${name} is no entity of this session's data source. Make it with its class (new …), and see that the class is among the data source's entities.`,
      );
    }
    return this.supported(mapping);
  }

  /** @throws UnsupportedMappingError */
  supported(mapping: EntityMapping): EntityMapping {
    if (mapping.unsupported !== null) {
      throw new UnsupportedMappingError(
        `Sessions do not support ${mapping.name}: ${mapping.unsupported}. Use its repository; it joins the transaction all the same.`,
      );
    }
    return mapping;
  }

  /** The state of an object of this session; undefined for any other. */
  own(entity: object): InstanceState | undefined {
    const state = stateOf(entity);
    return state?.session === this.owner ? state : undefined;
  }

  /** True when the object's values are not to be believed any more: after commit, rollback or `expire`. */
  isExpired(state: InstanceState): boolean {
    return state.epoch !== this.#epoch;
  }

  expire(state: InstanceState): void {
    const { epoch } = state;
    this.#undo?.push(() => {
      state.epoch = epoch;
    });
    state.epoch = -1;
  }

  /** All persistent objects are to be read again before they are believed. */
  expireAll(): void {
    this.#epoch++;
  }

  /** The values that an object has now come from the database. */
  believe(state: InstanceState): void {
    state.epoch = this.#epoch;
  }

  /** True when a property or a loaded relation of a persistent object differs from the row last seen. */
  isChanged(state: InstanceState): boolean {
    return state.mapping.isChanged(state.entity, state.snapshot!) || this.#relationsChanged(state);
  }

  #relationsChanged({ mapping, entity, relations }: InstanceState): boolean {
    for (const relation of mapping.relations) {
      const value = relation.get(entity);
      if (value === undefined) continue;
      const seen = relations?.[relation.index];
      if (seen === undefined) {
        // Set although it was never loaded: only a flush can tell whether that changes the foreign key.
        return true;
      }
      if (seen.isToMany) {
        const array = value as object[];
        if (!Array.isArray(array) || array.length !== seen.items.length) return true;
        for (let at = 0; at < array.length; at++) if (array[at] !== seen.items[at]) return true;
      } else if (seen.related !== value) {
        return true;
      }
    }
    return false;
  }

  /** True when a flush would have something to do. */
  get hasWork(): boolean {
    if (this.pending.size > 0 || this.toDelete.size > 0) return true;
    return this.identity.some(this.#isChanged);
  }

  // ── moving objects ────────────────────────────────────────────────────────────────────────────────────

  /** Makes the object, and what is reachable from it, part of the session. */
  add(entity: object): void {
    const mapping = this.mappingOf(entity);
    this.#refuseReadOnly(mapping);
    const known = stateOf(entity);
    this.#refuseForeign(known, 'add');
    this.#addReachable(known ?? newState(entity, mapping), null);
  }

  /** The state of an object that a relation holds, made where it has none; null where it is no entity of this data source. */
  #stateOfRelated(entity: object): InstanceState | null {
    const known = stateOf(entity);
    if (known !== undefined) return known;
    const mapping = this.mappings.ofEntity(entity);
    return mapping === null ? null : newState(entity, this.supported(mapping));
  }

  /** Adds an object and what is reachable from it; of an object that was detached, also what its collections lost. */
  #addReachable(first: InstanceState, reachedBy: Reached | null): void {
    const walk = ++lastWalk;
    const reached: InstanceState[] = [];
    let attached: Set<InstanceState> | null = null;
    const reach = (state: InstanceState, isCascaded: boolean, by: Reached | null): void => {
      const wasDetached = state.state === 'detached';
      this.#addOne(state, isCascaded, by);
      state.reachedIn = walk;
      reached.push(state);
      if (wasDetached && state.session === this.owner) (attached ??= new Set()).add(state);
    };
    let owner: InstanceState;
    let through: Reached | null = null;
    const visit = (related: object, relation: RelationMapping): void => {
      const state = this.#stateOfRelated(related);
      if (state === null || state.reachedIn === walk) return;
      if (through?.owner !== owner || through.relation !== relation) through = new Reached(owner, relation);
      reach(state, true, through);
    };
    reach(first, reachedBy !== null, reachedBy);
    for (let at = 0; at < reached.length; at++) {
      owner = reached[at]!;
      forEachRelated(owner.mapping, owner.entity, visit);
      if ((attached as Set<InstanceState> | null)?.has(owner) !== true) continue;
      for (const removed of removedObjects(owner)) {
        const state = stateOf(removed);
        if (state?.state === 'detached' && state.reachedIn !== walk) reach(state, true, null);
      }
    }
  }

  /** Adds what has become reachable from the session's objects since they were added or loaded. */
  cascade(): void {
    let owner: InstanceState;
    const take = (related: object, relation: RelationMapping): void => {
      const state = this.#stateOfRelated(related);
      if (state?.session !== null || state.wasDeleted) return;
      this.#addReachable(state, { owner, relation });
    };
    const visit = (state: InstanceState): void => {
      if (state.mapping.relations.length === 0 || state.isMarkedDeleted) return;
      owner = state;
      forEachRelated(state.mapping, state.entity, take);
    };
    this.identity.forEach(visit);
    // `add` goes on along the relations of what it adds.
    for (const state of [...this.pending]) visit(state);
  }

  #addOne(state: InstanceState, isCascaded: boolean, reachedBy: Reached | null): void {
    if (state.session === this.owner) {
      if (!isCascaded) state.reachedBy = null;
      if (state.isMarkedDeleted && !isCascaded) {
        this.memory.touch(state);
        state.isMarkedDeleted = false;
        this.toDelete.delete(state);
      } else if (state.state === 'deleted' && !isCascaded) {
        throw new InvalidSessionOperationError(
          `add: ${describe(state)} was deleted by this session. Use makeTransient() first to insert it again.`,
        );
      }
      return;
    }
    // What another session tracks is only referred to.
    if (state.session !== null) return;
    if (state.mapping.unsupported !== null) this.supported(state.mapping);
    if (state.wasDeleted) {
      if (isCascaded) return;
      throw new InvalidSessionOperationError(
        `add: ${describe(state)} was deleted. Use makeTransient() first to insert it again.`,
      );
    }
    if (state.state === 'detached') {
      this.#attach(state);
      return;
    }
    this.memory.touch(state);
    state.session = this.owner;
    state.reachedBy = reachedBy;
    this.pending.add(state);
    this.move(state, 'pending', 'add');
  }

  #attach(state: InstanceState): void {
    const other = this.identity.get(state.mapping, state.key!);
    if (other !== undefined && other !== state) {
      throw new InvalidSessionOperationError(
        `add: the session has another object for ${describe(state)} already. Use merge() to copy this one's values onto it.`,
      );
    }
    this.memory.touch(state);
    state.session = this.owner;
    state.seenIn = null;
    state.lockedIn = null;
    this.identity.set(state);
    if (state.missing) this.expire(state);
    else this.believe(state);
    this.move(state, 'persistent', 'add');
  }

  /** Marks a persistent object; the next flush deletes its row. */
  markDeleted(entity: object): void {
    const mapping = this.mappingOf(entity);
    this.#refuseReadOnly(mapping);
    const state = stateOf(entity);
    this.#refuseForeign(state, 'delete');
    if (state === undefined || state.state === 'transient' || state.state === 'pending') {
      throw new InvalidSessionOperationError(
        `delete: this ${mapping.name} is not persisted (it is ${state?.state ?? 'transient'}). ${state?.state === 'pending' ? 'Use expunge() to take it out of the session.' : 'There is no row to delete.'}`,
      );
    }
    if (state.state === 'deleted' || state.isMarkedDeleted) return;
    if (state.state === 'detached') {
      if (state.wasDeleted) {
        throw new InvalidSessionOperationError(`delete: ${describe(state)} was deleted already.`);
      }
      this.#attach(state);
    }
    this.markForDeletion(state);
  }

  /** Has the next flush delete a persistent object's row. */
  markForDeletion(state: InstanceState): void {
    this.memory.touch(state);
    state.isMarkedDeleted = true;
    this.toDelete.add(state);
  }

  /** The object's row was deleted in the open transaction. */
  rowDeleted(state: InstanceState): void {
    this.memory.touch(state);
    this.identity.delete(state);
    this.toDelete.delete(state);
    this.deleted.add(state);
    state.isMarkedDeleted = false;
    state.wasDeleted = true;
    this.move(state, 'deleted', 'flush');
  }

  /** Takes an object out of the session. */
  expunge(state: InstanceState, cause: StateCause = 'expunge'): void {
    this.pending.delete(state);
    this.toDelete.delete(state);
    this.deleted.delete(state);
    if (state.key !== null) this.identity.delete(state);
    this.#leave(state, cause);
  }

  #leave(state: InstanceState, cause: StateCause): void {
    state.isMarkedDeleted = false;
    state.session = null;
    state.seenIn = null;
    state.lockedIn = null;
    if (state.state === 'pending') {
      state.key = null;
      this.move(state, 'transient', cause);
    } else {
      this.move(state, 'detached', cause);
    }
  }

  /** Cuts an object off from its row and from every session, for good: it is as if it had just been made. */
  makeTransient(entity: object): void {
    const mapping = this.mappingOf(entity);
    const known = stateOf(entity);
    if (known === undefined) return;
    this.#refuseForeign(known, 'makeTransient');
    if (known.session === this.owner) {
      this.pending.delete(known);
      this.toDelete.delete(known);
      this.deleted.delete(known);
      if (known.key !== null) this.identity.delete(known);
    }
    this.memory.drop(known);
    this.move(known, 'transient', 'makeTransient');
    forget(known);
    stateFor(entity, mapping);
  }

  /** Makes a transient object with a key stand for its row, as if it had been read in a session that was closed. */
  makeTransientToDetached(entity: object): void {
    const mapping = this.mappingOf(entity);
    const state = stateFor(entity, mapping);
    if (state.state !== 'transient') {
      throw new InvalidSessionOperationError(
        `makeTransientToDetached: this ${mapping.name} is ${state.state}; only a transient object can be made detached.`,
      );
    }
    const key = mapping.keyOf(entity);
    if (key === null) {
      throw new InvalidSessionOperationError(
        `makeTransientToDetached: this ${mapping.name} has no key. Set ${mapping.keyColumns.map((column) => column.path).join(', ')} first.`,
      );
    }
    const snapshot = blankArray<unknown>(mapping.slots);
    const missing = new Set<number>();
    for (const column of mapping.columns) {
      const value = column.get(entity);
      if (value === undefined) {
        missing.add(column.index);
        continue;
      }
      snapshot[column.index] = column.freeze(value);
      if (column.rawSlot !== -1) snapshot[column.rawSlot] = column.toParameter(value);
    }
    state.snapshot = snapshot;
    state.key = key;
    state.missing = missing.size > 0;
    this.move(state, 'detached', 'makeTransientToDetached');
  }

  /** Makes a new object for a row, or takes the one that stands for it already, persistent. */
  adopt(state: InstanceState, key: IdentityKey): void {
    state.session = this.owner;
    state.key = key;
    this.identity.set(state);
    this.move(state, 'persistent', 'load');
  }

  move(state: InstanceState, to: ObjectState, cause: StateCause): void {
    const from = state.state;
    if (from === to) return;
    if (!isLegalMove(from, to, cause)) {
      throw new InvalidSessionOperationError(`${describe(state)} cannot go from ${from} to ${to} by ${cause}.`);
    }
    state.state = to;
    if (this.#undo !== null) return;
    if (this.listeners.has('stateChange')) {
      this.listeners.emitNow('stateChange', { entity: state.entity, from, to, cause });
    }
  }

  #refuseForeign(state: InstanceState | undefined, operation: string): void {
    if (state === undefined || state.session === null || state.session === this.owner) return;
    throw new InvalidSessionOperationError(
      `${operation}: ${describe(state)} belongs to session ${state.session.id} (${state.session.label}), and this is session ${this.owner.id} (${this.owner.label}). Use merge() to copy it over, or expunge it there first.`,
    );
  }

  #refuseReadOnly(mapping: EntityMapping): void {
    if (!mapping.isReadOnly) return;
    throw new InvalidSessionOperationError(`${mapping.name} is a view; its objects can be read only.`);
  }

  /** Lets `fn` add objects, mark and move them, and takes all of it back; nobody is told. */
  tentatively<T>(fn: () => T): T {
    const level = {};
    const sets = [this.pending, this.toDelete, this.deleted].map((set) => ({ set, states: [...set] }));
    this.#undo = [];
    this.memory.open(level);
    try {
      return fn();
    } finally {
      for (const [state, saved] of this.memory.rollBack(level)) this.#takeBack(state, saved);
      for (const { set, states } of sets) {
        set.clear();
        for (const state of states) set.add(state);
      }
      for (const undo of this.#undo.reverse()) undo();
      this.#undo = null;
    }
  }

  /** Sets a property that a flush decides on, for as long as the flush is more than tentative. */
  setProperty(state: InstanceState, column: ColumnMapping, value: unknown): void {
    const { entity } = state;
    const before = column.get(entity);
    this.#undo?.push(() => {
      column.set(entity, before);
    });
    column.set(entity, value);
  }

  #takeBack(state: InstanceState, saved: SavedState): void {
    const isIn = state.session === this.owner && state.state === 'persistent';
    const wasIn = saved.session === this.owner && saved.state === 'persistent';
    if (isIn && !wasIn) this.identity.delete(state);
    state.state = saved.state;
    state.session = saved.session;
    state.key = saved.key;
    state.isMarkedDeleted = saved.isMarkedDeleted;
    state.wasDeleted = saved.wasDeleted;
    state.seenIn = saved.seenIn;
    state.lockedIn = saved.lockedIn;
    if (wasIn && !isIn) this.identity.set(state);
  }

  // ── the end of a unit of work ─────────────────────────────────────────────────────────────────────────

  /** COMMIT was answered: what was deleted leaves, and nothing needs to be remembered. */
  committed(expire: boolean): void {
    for (const state of this.deleted) {
      this.deleted.delete(state);
      state.session = null;
      this.move(state, 'detached', 'commit');
    }
    this.memory.forEachTouched(forgetWritten);
    this.memory.forget();
    this.hasWritten = false;
    if (expire) this.expireAll();
  }

  /** The unit of work is gone: every object goes back to what is known to be committed, and is expired. */
  rolledBack(): void {
    for (const [state, saved] of this.memory.rollBackAll()) this.#restore(state, saved);
    for (const state of this.pending) this.#dropPending(state);
    this.identity.forEach((state) => {
      this.restoreValues(state);
    });
    this.hasWritten = false;
    this.expireAll();
  }

  /** A savepoint was rolled back: what was touched since is as it was, and expired. */
  rolledBackTo(savepoint: object): void {
    const touched = this.memory.rollBack(savepoint);
    for (const [state, saved] of touched) {
      this.#restore(state, saved);
      this.expire(state);
    }
    this.identity.forEach((state) => {
      if (!this.isChanged(state)) return;
      this.restoreValues(state);
      this.expire(state);
    });
  }

  #restore(state: InstanceState, saved: SavedState): void {
    if (state.session === this.owner && state.key !== null) this.identity.delete(state);
    this.pending.delete(state);
    this.toDelete.delete(state);
    this.deleted.delete(state);
    if (saved.written === null && state.written !== null) undoWritten(state);
    const from = state.state;
    state.session = saved.session;
    state.key = saved.key;
    state.snapshot = saved.snapshot;
    state.relations = saved.relations === null ? null : [...saved.relations];
    state.isMarkedDeleted = saved.isMarkedDeleted;
    state.wasDeleted = saved.wasDeleted;
    state.seenIn = saved.seenIn;
    state.lockedIn = saved.lockedIn;
    state.trustedIn = saved.trustedIn;
    state.written = saved.written;
    if (from !== saved.state) this.move(state, saved.state, 'rollback');
    if (saved.session !== this.owner) return;
    if (saved.state === 'pending') this.pending.add(state);
    if (saved.state === 'persistent') {
      this.identity.set(state);
      if (saved.isMarkedDeleted) this.toDelete.add(state);
      this.restoreValues(state);
    }
    if (saved.state === 'deleted') this.deleted.add(state);
  }

  #dropPending(state: InstanceState): void {
    this.pending.delete(state);
    state.session = null;
    this.move(state, 'transient', 'rollback');
  }

  /** Writes the last known values back onto a persistent object. */
  restoreValues(state: InstanceState): void {
    const { entity, mapping, snapshot } = state;
    this.restoreProperties(state, mapping.isChanged(entity, snapshot!) ? mapping.columns : [], mapping.relations);
  }

  /** As `restoreValues`, for some columns and relations. */
  restoreProperties(
    { entity, snapshot, relations }: InstanceState,
    columns: readonly ColumnMapping[],
    ofRelations: readonly RelationMapping[],
  ): void {
    for (const column of columns) restoreColumn(entity, column, snapshot!);
    for (const relation of ofRelations) {
      const seen = relations?.[relation.index];
      const value = relation.get(entity);
      if (seen === undefined) {
        if (value !== undefined) relation.set(entity, undefined);
      } else if (seen.isToMany) {
        restoreArray(seen);
        if (value !== seen.array) relation.set(entity, seen.array);
      } else if (value !== seen.related) {
        relation.set(entity, seen.related);
      }
    }
  }

  /** Forgets everything; objects become transient or detached. */
  clear(cause: StateCause): void {
    for (const state of this.pending) this.#leave(state, cause);
    this.identity.forEach((state) => {
      this.#leave(state, cause);
    });
    for (const state of this.deleted) this.#leave(state, cause);
    this.identity.clear();
    // A set that is cleared makes itself a new table, also where it was empty.
    for (const set of [this.pending, this.toDelete, this.deleted]) if (set.size > 0) set.clear();
    this.memory.forget();
    this.hasWritten = false;
  }
}

function restoreColumn(entity: object, column: ColumnMapping, snapshot: Snapshot): void {
  const frozen = snapshot[column.index];
  if (!column.isProperty || frozen === undefined) return;
  const value = column.get(entity);
  if (value === undefined || !column.same(value, frozen)) column.set(entity, column.thaw(frozen));
}

function restoreArray(seen: ToManySnapshot): void {
  const { array, items } = seen;
  if (array.length === items.length && array.every((item, at) => item === items[at])) return;
  array.splice(0, array.length, ...items);
}

/** Takes back what flushes have put onto a new object; a property that was set since stays as it was set. */
function undoWritten({ entity, written }: InstanceState): void {
  const setSince = new Set<object>();
  for (let one = written; one !== null && one !== 'nothing'; one = one.earlier) {
    const { property, before, written: left } = one;
    const value = property.get(entity);
    const isUntouched =
      value === left || (value instanceof Date && left instanceof Date && value.getTime() === left.getTime());
    // It may be set to what an earlier flush had put there.
    if (!isUntouched) setSince.add(property);
    else if (!setSince.has(property)) property.set(entity, before);
  }
}

function forgetWritten(state: InstanceState): void {
  state.written = null;
}

function forget(state: InstanceState): void {
  state.session = null;
  state.key = null;
  state.snapshot = null;
  state.relations = null;
  state.isMarkedDeleted = false;
  state.wasDeleted = false;
  state.seenIn = null;
  state.lockedIn = null;
  state.trustedIn = null;
  state.written = null;
}

/** `Account 5`, for messages. */
export function describe(state: InstanceState): string {
  const { mapping, key, snapshot } = state;
  if (key === null || snapshot === null) return `the ${state.state} ${mapping.name}`;
  const parts = mapping.keyColumns.map((column) => String(column.storedParameter(snapshot)));
  return `${mapping.name} ${parts.join(', ')}`;
}
