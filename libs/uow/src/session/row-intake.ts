import type { ColumnMapping, EntityMapping, RelationMapping, RowReader } from '../database/entity-mapping.js';
import type { LockOptions } from '../database/loading.js';
import { StaleDataError } from '../errors/flush-errors.js';
import { SqlExpression, answerFor } from '../flush/change-set.js';
import type { UpdateChange } from '../flush/change-set.js';
import type { PhysicalTransaction } from '../transaction/physical-transaction.js';
import { ToOneSnapshot, stateFor } from './instance-state.js';
import type { InstanceState } from './instance-state.js';
import { referredObject } from './relation-snapshots.js';
import { describe } from './unit-of-work.js';
import type { UnitOfWork } from './unit-of-work.js';

/** What decides whether an object that is loaded may be believed. */
export interface BelievingSession {
  readonly transaction: PhysicalTransaction | null;
  readonly trustsAfterCommit: boolean;
}

/** How rows are taken in. */
export interface IntakeOptions extends LockOptions {
  /** Overwrite what is loaded, and what is changed. */
  readonly populateExisting?: boolean;
}

/** Whoever wants one object of each class of their own. */
export interface ShapeKeeper {
  lacks(mapping: EntityMapping): boolean;
  keep(mapping: EntityMapping, asked: EntityMapping, reader: RowReader, row: readonly unknown[]): void;
}

/**
 * Takes rows in as objects: one object for each row, and an object that is loaded and still to be believed is not
 * overwritten.
 */
export class RowIntake {
  readonly #session: BelievingSession;
  readonly #unit: UnitOfWork;
  readonly #shapes: ShapeKeeper | null;
  /** Read objects whose entity has listeners of loads. */
  readonly #loaded: InstanceState[] = [];

  constructor(session: BelievingSession, unit: UnitOfWork, shapes: ShapeKeeper | null) {
    this.#session = session;
    this.#unit = unit;
    this.#shapes = shapes;
  }

  get hasLoaded(): boolean {
    return this.#loaded.length > 0;
  }

  /** Tells the listeners of the entities about what was read since the last time. */
  async tellLoaded(): Promise<void> {
    while (this.#loaded.length > 0) {
      const state = this.#loaded.shift()!;
      await state.mapping.listeners.run('afterLoad', state.entity, {
        transaction: this.#session.transaction,
        before: undefined,
        changed: [],
        relations: [],
      });
    }
  }

  /** True when the object's values have to be read again before a read may give it out. */
  isStale(state: InstanceState, transaction: PhysicalTransaction | null): boolean {
    if (this.#unit.isExpired(state)) return true;
    if (transaction === null || state.seenIn === transaction || this.#session.trustsAfterCommit) return false;
    // What was read before a transaction may have changed since: from its declaration on, or from its BEGIN on.
    return transaction.origin === 'declared' || transaction.begun;
  }

  /** True when the object's row has to be read before its values may be relied on. */
  isDue(state: InstanceState): boolean {
    return state.expired !== null || this.isStale(state, this.#session.transaction);
  }

  // ── rows that were read ───────────────────────────────────────────────────────────────────────────────

  /** The objects of rows, in their order; null in the place of a row without a key. */
  absorbAll(
    asked: EntityMapping,
    reader: RowReader,
    rows: readonly unknown[][],
    options: IntakeOptions | null,
  ): (object | null)[] {
    const { transaction } = this.#session;
    const isHeard = asked.root.hierarchy.some((mapping) => mapping.listeners.has('afterLoad'));
    const objects = new Array<object | null>(rows.length);
    for (let at = 0; at < rows.length; at++) {
      objects[at] = this.#absorb(asked, reader, rows[at]!, options, transaction, isHeard);
    }
    return objects;
  }

  /**
   * The object of a row: the one that the session has, brought up to date where it was not to be believed, or
   * a new one. Null for a row without a key.
   */
  absorb(asked: EntityMapping, reader: RowReader, row: unknown[], options: IntakeOptions | null): object | null {
    return this.#absorb(asked, reader, row, options, this.#session.transaction, true);
  }

  #absorb(
    asked: EntityMapping,
    reader: RowReader,
    row: unknown[],
    options: IntakeOptions | null,
    transaction: PhysicalTransaction | null,
    isHeard: boolean,
  ): object | null {
    const key = reader.key(row);
    if (key === null) return null;
    let state = this.#unit.identity.get(asked, key);
    if (state === undefined) {
      const mapping = asked.discriminator === null ? asked : childOf(asked, reader, row);
      // Loading may use up the row.
      if (this.#shapes?.lacks(mapping) === true) this.#shapes.keep(mapping, asked, reader, row);
      const entity = mapping.create();
      state = stateFor(entity, mapping);
      const own = mapping === asked ? reader : readerOfChild(asked, mapping, reader);
      state.snapshot = own.load(entity, row, null);
      state.expired = own.missing;
      this.#unit.adopt(state, key);
      this.#unit.believe(state);
      state.seenIn = transaction;
      if (isHeard) this.#noteLoad(state);
    } else {
      this.#refresh(state, asked, reader, row, options, transaction);
    }
    if (options?.lock !== undefined) this.#noteLock(state, options, reader.missing === null, transaction);
    return state.entity;
  }

  #noteLoad(state: InstanceState): void {
    if (state.mapping.listeners.has('afterLoad')) this.#loaded.push(state);
  }

  /** An object of a row that the session does not keep. */
  untracked(asked: EntityMapping, reader: RowReader, row: unknown[]): object {
    const mapping = asked.discriminator === null ? asked : childOf(asked, reader, row);
    const entity = mapping.create();
    (mapping === asked ? reader : readerOfChild(asked, mapping, reader)).load(entity, row, null);
    return entity;
  }

  #refresh(
    state: InstanceState,
    asked: EntityMapping,
    reader: RowReader,
    row: unknown[],
    options: IntakeOptions | null,
    transaction: PhysicalTransaction | null,
  ): void {
    const isAsked = options?.lock !== undefined || options?.populateExisting === true;
    const isDue = isAsked || this.isStale(state, transaction);
    if (!isDue && state.expired === null) return;
    const own = state.mapping === asked ? reader : readerOfChild(asked, state.mapping, reader);
    if (options?.populateExisting !== true && this.#unit.isChanged(state)) {
      if (options?.lock !== undefined) this.#expectUnchanged(state, own, row, transaction);
      if (state.expired !== null) this.#readExpired(state, state.expired, own, row);
      return;
    }
    if (!isDue) {
      this.#readExpired(state, state.expired!, own, row);
      return;
    }
    this.touchRead(state);
    const before = state.snapshot!;
    state.snapshot = own.load(state.entity, row, before);
    state.seenIn = transaction;
    state.expired = own.missing;
    this.#unit.believe(state);
    this.#followForeignKeys(state, before);
    this.#noteLoad(state);
    this.markRelationsStale(state, state.mapping.relations);
  }

  // ── rows that were written ────────────────────────────────────────────────────────────────────────────

  /** The object of a row that an INSERT gave back; one that the session has is overwritten only where asked. */
  absorbReturned(mapping: EntityMapping, row: unknown[], overwrite: boolean): object | null {
    const key = mapping.reader.key(row);
    const known = key === null ? undefined : this.#unit.identity.get(mapping, key);
    if (known !== undefined && !overwrite) return known.entity;
    return this.absorb(mapping, mapping.reader, row, { populateExisting: overwrite });
  }

  /** What a statement has written to an object's row, and given back: some of its columns. */
  takeWritten(
    state: InstanceState,
    asked: EntityMapping,
    reader: RowReader,
    row: unknown[],
    transaction: PhysicalTransaction,
  ): void {
    const own = state.mapping === asked ? reader : readerOfChild(asked, state.mapping, reader);
    const before = state.snapshot!;
    this.#unit.memory.touch(state);
    state.snapshot = own.load(state.entity, row, before);
    state.lockedIn = transaction;
    this.#followForeignKeys(state, before);
  }

  /** What a statement has written to an object's row by values that were given. */
  takeGiven(state: InstanceState, change: UpdateChange, transaction: PhysicalTransaction): void {
    const before = state.snapshot!;
    this.#unit.memory.touch(state);
    const snapshot = [...before];
    const take = (column: ColumnMapping, value: unknown, parameter: unknown): void => {
      snapshot[column.index] = column.freeze(value);
      if (column.rawSlot !== -1) snapshot[column.rawSlot] = parameter;
      if (column.isProperty) column.set(state.entity, value);
    };
    change.columns.forEach((given, at) => {
      const column = state.mapping.columns.find((one) => one.name === given.name)!;
      const parameter = change.values[at];
      const value = given.isProperty ? given.get(change.subject!) : parameter;
      if (parameter instanceof SqlExpression || value === undefined) {
        this.#unit.expire(state);
      } else take(column, given.isProperty ? column.thaw(column.freeze(value)) : value, parameter);
    });
    for (const column of [change.mapping.version, change.mapping.updateDate]) {
      const returned = column === null ? undefined : answerFor(change, column);
      if (column !== null && returned !== undefined)
        take(column, column.fromRow(returned), column.rawToParameter(returned));
    }
    state.snapshot = snapshot;
    state.lockedIn = transaction;
    this.#followForeignKeys(state, before);
  }

  /** Reads expired properties of an object whose other values stay. */
  #readExpired(state: InstanceState, expired: ReadonlySet<ColumnMapping>, reader: RowReader, row: unknown[]): void {
    this.touchRead(state);
    const before = state.snapshot!;
    const scratch = state.mapping.create();
    const now = reader.load(scratch, [...row], null);
    const snapshot = [...before];
    for (const column of expired) {
      if (now[column.index] === undefined) continue;
      snapshot[column.index] = now[column.index];
      if (column.rawSlot !== -1) snapshot[column.rawSlot] = now[column.rawSlot];
      if (column.isProperty) column.set(state.entity, column.get(scratch));
    }
    state.snapshot = snapshot;
    const left = [...expired].filter((column) => now[column.index] === undefined);
    state.expired = left.length === 0 ? null : new Set(left);
    this.#followForeignKeys(state, before);
  }

  /** What relations show that other tables keep: read again at the next load, and readable until then. */
  markRelationsStale(state: InstanceState, relations: readonly RelationMapping[]): void {
    if (state.relations === null) return;
    for (const relation of relations) {
      const seen = state.relations[relation.index];
      if (seen === undefined || seen.isStale || relation.isOwningToOne) continue;
      state.relations = [...state.relations];
      state.relations[relation.index] = seen.asStale();
    }
  }

  /** A lock under unflushed changes: they were made on the row as it was read, so it must still be that row. */
  #expectUnchanged(
    state: InstanceState,
    reader: RowReader,
    row: unknown[],
    transaction: PhysicalTransaction | null,
  ): void {
    const { mapping } = state;
    const base = state.snapshot!;
    const scratch = mapping.create();
    const now = reader.load(scratch, [...row], null);
    const differs = mapping.columns.find((column) => {
      const seen = base[column.index];
      if (seen === undefined || now[column.index] === undefined) return false;
      return seen !== now[column.index] && !column.same(column.thaw(now[column.index]), seen);
    });
    if (differs !== undefined) {
      throw new StaleDataError(
        `Locking ${describe(state)}: it has changes that were not flushed, made on a row that somebody else has changed since (${differs.path}). Refresh it before changing it, or lock it first.`,
        mapping.name,
        Object.fromEntries(mapping.keyColumns.map((column) => [column.path, column.storedParameter(base)])),
        mapping.version?.storedParameter(base),
      );
    }
    state.seenIn = transaction;
    this.#unit.believe(state);
  }

  #noteLock(
    state: InstanceState,
    options: IntakeOptions,
    isWhole: boolean,
    transaction: PhysicalTransaction | null,
  ): void {
    if (options.lock === 'key share') return;
    // A savepoint's rollback gives back the locks that were taken since.
    if (this.#unit.memory.isNested) this.#unit.memory.touch(state);
    else this.touchRead(state);
    if (options.lock !== 'share') state.lockedIn = transaction;
    if (isWhole) state.trustedIn = transaction;
  }

  /**
   * Keeps how an object stood before a read changes it, where a rollback has to bring that back: not before the
   * first change, where what is read is committed, whatever savepoints are open.
   */
  touchRead(state: InstanceState): void {
    if (this.#unit.hasWritten) this.#unit.memory.touch(state);
  }

  /** A loaded to-one relation shows another object once its foreign key was read to be another. */
  #followForeignKeys(state: InstanceState, before: readonly unknown[]): void {
    if (state.relations === null) return;
    for (const relation of state.mapping.relations) {
      const seen = state.relations[relation.index];
      if (seen === undefined || seen.isToMany || !relation.isOwningToOne) continue;
      const isSame = relation.joinColumns.every(
        (column) => String(before[column.index]) === String(state.snapshot![column.index]),
      );
      if (isSame) continue;
      const related = referredObject(this.#unit, state, relation);
      state.relations = [...state.relations];
      state.relations[relation.index] = related === undefined ? undefined : new ToOneSnapshot(related);
      relation.set(state.entity, related);
    }
  }
}

const childReaders = new WeakMap<RowReader, Map<EntityMapping, RowReader>>();

/** The mapping of a row's class in a single-table hierarchy. */
function childOf(asked: EntityMapping, reader: RowReader, row: readonly unknown[]): EntityMapping {
  const position = reader.positions[asked.discriminator!.index] ?? -1;
  return position === -1 ? asked : asked.childFor(row[position]);
}

/** A reader of the same rows for another class of the hierarchy. */
function readerOfChild(asked: EntityMapping, child: EntityMapping, reader: RowReader): RowReader {
  let readers = childReaders.get(reader);
  if (readers === undefined) childReaders.set(reader, (readers = new Map<EntityMapping, RowReader>()));
  let own = readers.get(child);
  if (own === undefined) {
    const byName = new Map(asked.columns.map((column) => [column.name, reader.positions[column.index] ?? -1]));
    own = child.readerFor(child.columns.map((column) => byName.get(column.name) ?? -1));
    readers.set(child, own);
  }
  return own;
}
