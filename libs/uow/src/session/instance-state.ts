import type {
  ColumnMapping,
  EntityMapping,
  IdentityKey,
  RelationMapping,
  Snapshot,
} from '../database/entity-mapping.js';
import type { InsertChange } from '../flush/change-set.js';
import type { PhysicalTransaction } from '../transaction/physical-transaction.js';
import type { ObjectState } from './object-state.js';
import { ReturnedObject } from './returned-object.js';

/**
 * What the library knows of one object: its state, its session, the last row it was seen as. It is kept in a
 * private field that is stamped onto the object, so it is found without a lookup and shows up nowhere: not in
 * JSON, not in a comparison, not in a print.
 */
export class InstanceState {
  state: ObjectState = 'transient';
  /** The unit of work that the object belongs to; null when it belongs to none. */
  session: SessionIdentity | null = null;
  key: IdentityKey | null = null;
  /** The row as last seen or written; null for an object that has none. */
  snapshot: Snapshot | null = null;
  /** Relations as last seen or written, by relation index; undefined where not loaded. */
  relations: (RelationSnapshot | undefined)[] | null = null;
  /** The epoch of its unit of work in which its values were last believed; see `UnitOfWork.isExpired`. */
  epoch = -1;
  /** Columns that `expire` named, or that no query has read yet: to be read although the rest is to be believed. */
  expired: ReadonlySet<ColumnMapping> | null = null;
  /** True for a detached object of which columns were never loaded. */
  missing = false;
  /** What an object that was not added by itself was reached from; null for one that was. */
  reachedBy: Reached | null = null;
  /** The walk along relations that has come by last. */
  reachedIn = 0;
  /** True between `delete()` and the flush that carries it out. */
  isMarkedDeleted = false;
  /** True after its row was deleted by a flush, until it is made transient. */
  wasDeleted = false;
  /** The transaction in which the row was last read or written. */
  seenIn: PhysicalTransaction | null = null;
  /** The transaction that holds the row's lock for this object. */
  lockedIn: PhysicalTransaction | null = null;
  /** The transaction in which the whole row is known as it is now: read under its lock, or inserted. */
  trustedIn: PhysicalTransaction | null = null;
  /** What flushes wrote onto an object that one of them inserted; undone when the insert is. Null for any other object. */
  written: WrittenProperties | null = null;
  /** Number of the level of rollback memory that has kept how it stood last. */
  savedAt = 0;
  /** Its insert, while a flush collects what it has to write. */
  insert: InsertChange | null = null;

  /** Where it stands in a large table of the identity map. */
  place = -1;

  constructor(
    readonly entity: object,
    readonly mapping: EntityMapping,
  ) {}
}

/** By which relation of which object a walk along relations came to another. */
export class Reached {
  constructor(
    readonly owner: InstanceState,
    readonly relation: RelationMapping,
  ) {}
}

/** As much of a session as an object's state and an error message need. */
export interface SessionIdentity {
  readonly id: string;
  readonly label: string;
}

/** A relation as last seen. Of classes, since these are many and lead to the objects: see docs/decisions/0002. */
export type RelationSnapshot = ToOneSnapshot | ToManySnapshot;

/** The object that a relation held. */
export class ToOneSnapshot {
  readonly isToMany = false;

  /**
   * @param seenIn the transaction in which it was read; without one, or noted by a flush, the owner's own age counts
   * @param isStale the owner was read again since: the next load reads the relation, too
   */
  constructor(
    readonly related: object | null,
    readonly seenIn: PhysicalTransaction | null = null,
    readonly isStale = false,
  ) {}

  asStale(): ToOneSnapshot {
    return new ToOneSnapshot(this.related, this.seenIn, true);
  }
}

/** The array that a relation held, with a copy of its contents. */
export class ToManySnapshot {
  readonly isToMany = true;

  /** @see ToOneSnapshot */
  constructor(
    readonly array: object[],
    readonly items: readonly object[],
    readonly seenIn: PhysicalTransaction | null = null,
    readonly isStale = false,
  ) {}

  withItems(items: readonly object[]): ToManySnapshot {
    return new ToManySnapshot(this.array, items, this.seenIn, this.isStale);
  }

  asStale(): ToManySnapshot {
    return new ToManySnapshot(this.array, this.items, this.seenIn, true);
  }
}

/** Newest first: a later flush writes on top of what an earlier one has written. */
export type WrittenProperties = WrittenProperty | 'nothing';

export interface WrittenProperty {
  readonly property: ColumnMapping | RelationMapping;
  readonly before: unknown;
  readonly written: unknown;
  readonly earlier: WrittenProperties;
}

class Stamp extends ReturnedObject {
  #state: InstanceState;

  constructor(entity: object, state: InstanceState) {
    super(entity);
    this.#state = state;
  }

  static read(entity: object): InstanceState | undefined {
    return #state in entity ? entity.#state : undefined;
  }

  static write(entity: object, state: InstanceState): void {
    (entity as Stamp).#state = state;
  }
}

/** Notes what a flush writes onto an object that it inserted; nothing for any other. */
export function noteWritten(
  state: InstanceState,
  property: WrittenProperty['property'],
  before: unknown,
  written: unknown,
): void {
  if (state.written !== null) state.written = { property, before, written, earlier: state.written };
}

/** The state of an object; undefined for one that no session has met. */
export function stateOf(entity: object): InstanceState | undefined {
  return Stamp.read(entity);
}

/** The state of an object, made when there is none. */
export function stateFor(entity: object, mapping: EntityMapping): InstanceState {
  const known = Stamp.read(entity);
  if (known === undefined) return newState(entity, mapping);
  if (known.mapping === mapping || known.session !== null) return known;
  const state = new InstanceState(entity, mapping);
  Stamp.write(entity, state);
  return state;
}

/** Makes the state of an object that has none. */
export function newState(entity: object, mapping: EntityMapping): InstanceState {
  const state = new InstanceState(entity, mapping);
  new Stamp(entity, state);
  return state;
}
