import type { Snapshot } from '../database/entity-mapping.js';
import type { InstanceState, RelationSnapshot, SessionIdentity } from './instance-state.js';
import type { ObjectState } from './object-state.js';

/**
 * What memory has to go back to. One level for the unit of work, one more for each open savepoint; a level
 * keeps, for every object that was touched in it, how the object stood when the level opened. Snapshots are
 * never changed in place, so keeping one is keeping a reference.
 */

/** How an object stood. */
export interface SavedState {
  readonly state: ObjectState;
  readonly session: SessionIdentity | null;
  readonly key: InstanceState['key'];
  readonly snapshot: Snapshot | null;
  readonly relations: readonly (RelationSnapshot | undefined)[] | null;
  readonly isMarkedDeleted: boolean;
  readonly wasDeleted: boolean;
  readonly seenIn: InstanceState['seenIn'];
  readonly lockedIn: InstanceState['lockedIn'];
  readonly trustedIn: InstanceState['trustedIn'];
  readonly written: InstanceState['written'];
}

/** How every object stands that no session has met. */
const UNMET: SavedState = Object.freeze({
  state: 'transient',
  session: null,
  key: null,
  snapshot: null,
  relations: null,
  isMarkedDeleted: false,
  wasDeleted: false,
  seenIn: null,
  lockedIn: null,
  trustedIn: null,
  written: null,
});

/** What `savedAt` says of an object in place of a level's number. */
const NEVER_SAVED = 0;
const DROPPED = -1;

let lastNumber = NEVER_SAVED;

class Level {
  /** By which an object knows that this level has it: quicker than to look it up. */
  readonly number = ++lastNumber;
  readonly #states: (InstanceState | null)[] = [];
  readonly #saved: SavedState[] = [];
  /** Where each stands. Made when somebody asks: most objects are new to every level, and tell so themselves. */
  #places: Map<InstanceState, number> | null = null;

  constructor(readonly savepoint: object | null) {}

  /** True where it has kept nothing yet. */
  get isUnused(): boolean {
    return this.#states.length === 0;
  }

  has(state: InstanceState): boolean {
    return this.#placeOf(state) !== undefined;
  }

  keep(state: InstanceState, saved: SavedState): void {
    this.#places?.set(state, this.#states.length);
    this.#states.push(state);
    this.#saved.push(saved);
  }

  drop(state: InstanceState): void {
    const at = this.#placeOf(state);
    if (at === undefined) return;
    this.#states[at] = null;
    this.#saved[at] = UNMET;
    this.#places?.delete(state);
  }

  forEach(visit: (state: InstanceState, saved: SavedState) => void): void {
    for (let at = 0; at < this.#states.length; at++) {
      const state = this.#states[at];
      if (state != null) visit(state, this.#saved[at]!);
    }
  }

  #placeOf(state: InstanceState): number | undefined {
    if (this.#places === null) {
      this.#places = new Map();
      for (let at = 0; at < this.#states.length; at++) {
        const kept = this.#states[at];
        if (kept != null) this.#places.set(kept, at);
      }
    }
    return this.#places.get(state);
  }
}

export class RollbackMemory {
  #levels: Level[] = [new Level(null)];

  /** True while a savepoint is open. */
  get isNested(): boolean {
    return this.#levels.length > 1;
  }

  /** Keeps how the object stands, once for each level. Called before anything of it changes. */
  touch(state: InstanceState): void {
    const level = this.#levels[this.#levels.length - 1]!;
    const { savedAt } = state;
    if (savedAt === level.number) return;
    state.savedAt = level.number;
    // A number of another level says nothing about this one.
    if (savedAt !== NEVER_SAVED && level.has(state)) return;
    if (isUnmet(state)) {
      level.keep(state, UNMET);
      return;
    }
    level.keep(state, {
      state: state.state,
      session: state.session,
      key: state.key,
      snapshot: state.snapshot,
      relations: state.relations === null ? null : [...state.relations],
      isMarkedDeleted: state.isMarkedDeleted,
      wasDeleted: state.wasDeleted,
      seenIn: state.seenIn,
      lockedIn: state.lockedIn,
      trustedIn: state.trustedIn,
      written: state.written,
    });
  }

  open(savepoint: object): void {
    this.#levels.push(new Level(savepoint));
  }

  /** The level's work belongs to the one around it now. */
  release(savepoint: object): void {
    const level = this.#pop(savepoint);
    const around = this.#levels[this.#levels.length - 1]!;
    level?.forEach((state, saved) => {
      if (!around.has(state)) around.keep(state, saved);
    });
  }

  /** What to restore for a savepoint, newest touch first. */
  rollBack(savepoint: object): [InstanceState, SavedState][] {
    const touched: [InstanceState, SavedState][] = [];
    this.#pop(savepoint)?.forEach((state, saved) => touched.push([state, saved]));
    return touched.reverse();
  }

  /** What to restore for the whole unit of work; a new one begins. */
  rollBackAll(): [InstanceState, SavedState][] {
    const oldest = new Map<InstanceState, SavedState>();
    for (const level of this.#levels) {
      level.forEach((state, saved) => {
        if (!oldest.has(state)) oldest.set(state, saved);
      });
    }
    this.forget();
    return [...oldest].reverse();
  }

  /** The object has left for good; no rollback brings it back. */
  drop(state: InstanceState): void {
    state.savedAt = DROPPED;
    for (const level of this.#levels) level.drop(state);
  }

  /** Visits each touched object, with how it stood when the unit of work began. */
  forEachTouched(visit: (state: InstanceState, saved: SavedState) => void): void {
    this.#levels[0]!.forEach(visit);
  }

  /** The unit of work ended well. */
  forget(): void {
    if (this.#levels.length === 1 && this.#levels[0]!.isUnused) return;
    this.#levels = [new Level(null)];
  }

  #pop(savepoint: object): Level | undefined {
    const at = this.#levels.findIndex((level) => level.savepoint === savepoint);
    if (at === -1) return undefined;
    return this.#levels.splice(at, 1)[0];
  }
}

function isUnmet(state: InstanceState): boolean {
  return (
    state.state === 'transient' &&
    state.session === null &&
    state.key === null &&
    state.snapshot === null &&
    state.relations === null &&
    state.written === null &&
    state.seenIn === null &&
    state.lockedIn === null &&
    state.trustedIn === null &&
    !state.isMarkedDeleted &&
    !state.wasDeleted
  );
}
