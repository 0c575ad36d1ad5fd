import type {
  ColumnMapping,
  EntityMapping,
  IdentityKey,
  RelationMapping,
  RowReader,
} from '../database/entity-mapping.js';
import { lockClause } from '../database/loading.js';
import type { EntityQueries, LockOptions } from '../database/loading.js';
import type { Statement, StatementResult } from '../database/statement.js';
import { StaleDataError } from '../errors/flush-errors.js';
import { InvalidSessionOperationError } from '../errors/session-errors.js';
import { SqlExpression } from '../flush/change-set.js';
import type { UpdateChange } from '../flush/change-set.js';
import type { PhysicalTransaction } from '../transaction/physical-transaction.js';
import { referredObject } from './relation-snapshots.js';
import type { InstanceState } from './instance-state.js';
import { stateFor } from './instance-state.js';
import { RelationLoader, whereColumns } from './relation-loader.js';
import { describe } from './unit-of-work.js';
import type { UnitOfWork } from './unit-of-work.js';

/** What a session lets its reader use: the way to the database, and the flush before a query. */
export interface ReadingSession {
  readonly transaction: PhysicalTransaction | null;
  readonly trustsAfterCommit: boolean;
  autoflush(operation: string): Promise<void>;
  send(statement: Statement, operation: string, needs: 'read' | 'lock' | 'write'): Promise<StatementResult>;
}

/** What reads of entities take beside locks. */
export interface ReadOptions extends LockOptions {
  /** Read again and overwrite, also what is loaded or changed. */
  readonly populateExisting?: boolean;
  /** Find rows that are soft-deleted, too. */
  readonly withDeleted?: boolean;
}

/**
 * Reads rows as objects, through the identity map: one object for each row, and an object that is loaded and
 * still to be believed is not overwritten.
 */
export class Reader {
  readonly #session: ReadingSession;
  readonly #unit: UnitOfWork;
  readonly #queries: EntityQueries;
  readonly relations: RelationLoader;
  /** Read objects whose entity has listeners of loads. */
  readonly #loaded: InstanceState[] = [];

  constructor(session: ReadingSession, unit: UnitOfWork, queries: EntityQueries) {
    this.#session = session;
    this.#unit = unit;
    this.#queries = queries;
    this.relations = new RelationLoader(unit, this);
  }

  get hasLoaded(): boolean {
    return this.#loaded.length > 0;
  }

  /** Tells the listeners of the entities about what was read since the last time. */
  async tellLoaded(): Promise<void> {
    while (this.#loaded.length > 0) {
      const state = this.#loaded.shift()!;
      await state.mapping.listeners.run('afterLoad', state.entity, {
        transaction: this.transaction(),
        before: undefined,
        changed: [],
        relations: [],
      });
    }
  }

  transaction(): PhysicalTransaction | null {
    return this.#session.transaction;
  }

  query(statement: Statement, operation: string): Promise<StatementResult> {
    return this.#session.send(statement, operation, 'read');
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

  // ── by key ────────────────────────────────────────────────────────────────────────────────────────────

  /** The object of a key if the session has it and it is to be believed: without a promise, for the fast way. */
  known(mapping: EntityMapping, key: IdentityKey, withDeleted: boolean): object | null | undefined {
    const state = this.#unit.identity.get(mapping, key);
    if (state === undefined) return undefined;
    if (state.expired !== null) return undefined;
    if (this.isStale(state, this.#session.transaction) && !this.#unit.isChanged(state)) return undefined;
    return visible(state, mapping, withDeleted);
  }

  async getMany(
    mapping: EntityMapping,
    ids: readonly unknown[],
    options: ReadOptions,
    operation: string,
  ): Promise<(object | null)[]> {
    const keys = ids.map((id) => mapping.keyParameters(id));
    const names = keys.map((key) => mapping.keyOfStored(key));
    const isLocking = options.lock !== undefined;
    const again = isLocking || options.populateExisting === true;
    const withDeleted = options.withDeleted === true;
    const found = (): (object | null | undefined)[] =>
      names.map((name) => (again ? undefined : this.known(mapping, name, withDeleted)));
    let objects = found();
    if (!objects.includes(undefined)) return objects as (object | null)[];
    await this.#session.autoflush(operation);
    objects = found();
    const missing = new Map<IdentityKey, readonly unknown[]>();
    objects.forEach((object, at) => {
      if (object === undefined) missing.set(names[at]!, keys[at]!);
    });
    if (missing.size > 0) {
      const read = await this.readByKey(mapping, missing, options, operation);
      objects = objects.map((object, at) => (object === undefined ? (read.get(names[at]!) ?? null) : object));
    }
    return objects.map((object) => {
      if (object === null || object === undefined) return null;
      return visible(this.#unit.own(object)!, mapping, withDeleted);
    });
  }

  /**
   * Reads rows by their keys, in one statement.
   * @returns the objects of those that are there
   */
  async readByKey(
    mapping: EntityMapping,
    keys: ReadonlyMap<IdentityKey, readonly unknown[]>,
    options: ReadOptions,
    operation: string,
  ): Promise<Map<IdentityKey, object>> {
    const { root } = mapping;
    const order = root.keyColumns.map((column) => `t.${column.sql}`).join(', ');
    let condition: string;
    let values: readonly unknown[];
    if (keys.size === 1) {
      const [only] = keys.values();
      values = only!;
      condition = root.keyColumns.map((column, at) => `t.${column.sql} = $${at + 1}`).join(' AND ');
    } else {
      ({ condition, parameters: values } = whereColumns(root.keyColumns, [...keys.values()], 't'));
    }
    // Rows of one statement are locked in the order in which they come.
    const text = `SELECT ${root.selectList('t')} FROM ${root.table} AS t WHERE ${condition}${keys.size > 1 ? ` ORDER BY ${order}` : ''}${lockClause(options, 't')}`;
    const { rows } = await this.#session.send(
      { text, values, rowMode: 'array' },
      operation,
      options.lock === undefined ? 'read' : 'lock',
    );
    const read = new Map<IdentityKey, object>();
    for (const row of rows as unknown[][]) {
      const key = root.reader.key(row)!;
      const entity = this.absorb(root, root.reader, row, options);
      if (entity !== null) read.set(key, entity);
    }
    if (options.skipLocked !== true) {
      for (const key of keys.keys()) if (!read.has(key)) this.#gone(mapping, key);
    }
    return read;
  }

  /** The row of an object is not there any more: the object leaves, and a rollback brings it back. */
  #gone(mapping: EntityMapping, key: IdentityKey): void {
    const state = this.#unit.identity.get(mapping, key);
    if (state === undefined) return;
    this.#unit.memory.touch(state);
    this.#unit.expunge(state, 'gone');
  }

  // ── by criteria ───────────────────────────────────────────────────────────────────────────────────────

  async find(mapping: EntityMapping, options: object & ReadOptions, operation: string): Promise<object[]> {
    checkLock(mapping, options);
    await this.#session.autoflush(operation);
    const query = this.#queries.find(mapping, options, options.lock === undefined ? null : options);
    const result = await this.#session.send(query.statement, operation, options.lock === undefined ? 'read' : 'lock');
    const reader = query.reader(result);
    let objects: object[] = [];
    for (const row of result.rows as unknown[][]) {
      const entity = this.absorb(mapping, reader, row, options);
      if (entity !== null) objects.push(entity);
    }
    if (query.mayRepeat) {
      objects = [...new Set(objects)];
      const from = query.skip ?? 0;
      if (query.skip !== undefined || query.take !== undefined) {
        objects = objects.slice(from, query.take === undefined ? undefined : from + query.take);
      }
    }
    if (query.relations.length > 0) {
      const states = objects.flatMap((object) => this.#unit.own(object) ?? []);
      await this.relations.load(states, query.relations, operation, options.populateExisting === true);
    }
    return objects;
  }

  async count(mapping: EntityMapping, options: object, operation: string): Promise<number> {
    await this.#session.autoflush(operation);
    const { rows } = await this.query(this.#queries.count(mapping, options), operation);
    return (rows as [[number]])[0][0];
  }

  async exists(mapping: EntityMapping, options: object, operation: string): Promise<boolean> {
    await this.#session.autoflush(operation);
    const { rows } = await this.query(this.#queries.exists(mapping, options), operation);
    return (rows as [[boolean]])[0][0];
  }

  // ── rows ──────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * The object of a row: the one that the session has, brought up to date where it was not to be believed, or
   * a new one. Null for a row without a key.
   */
  absorb(asked: EntityMapping, reader: RowReader, row: unknown[], options: ReadOptions | null): object | null {
    const key = reader.key(row);
    if (key === null) return null;
    const transaction = this.#session.transaction;
    const known = this.#unit.identity.get(asked, key);
    let state: InstanceState;
    if (known === undefined) {
      const mapping = asked.discriminator === null ? asked : childOf(asked, reader, row);
      const entity = mapping.create();
      state = stateFor(entity, mapping);
      state.snapshot = (mapping === asked ? reader : readerOfChild(asked, mapping, reader)).load(entity, row, null);
      this.#unit.adopt(state, key);
      this.#unit.believe(state);
      state.seenIn = transaction;
      if (mapping.listeners.has('afterLoad')) this.#loaded.push(state);
    } else {
      state = known;
      this.#refresh(state, asked, reader, row, options, transaction);
    }
    if (options?.lock !== undefined) this.#noteLock(state, options, transaction);
    return state.entity;
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
    options: ReadOptions | null,
    transaction: PhysicalTransaction | null,
  ): void {
    const isAsked = options?.lock !== undefined || options?.populateExisting === true;
    const isDue = isAsked || state.expired !== null || this.isStale(state, transaction);
    if (!isDue) return;
    const own = state.mapping === asked ? reader : readerOfChild(asked, state.mapping, reader);
    if (options?.populateExisting !== true && this.#unit.isChanged(state)) {
      if (options?.lock !== undefined) this.#expectUnchanged(state, own, row, transaction);
      if (state.expired !== null) this.#readExpired(state, state.expired, own, row);
      return;
    }
    this.touchRead(state);
    const before = state.snapshot!;
    state.snapshot = own.load(state.entity, row, before);
    state.seenIn = transaction;
    state.expired = null;
    this.#unit.believe(state);
    this.#followForeignKeys(state, before);
    if (state.mapping.listeners.has('afterLoad')) this.#loaded.push(state);
    this.markRelationsStale(state, state.mapping.relations);
  }

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
      const returned = column === null ? undefined : change.returned[column.index];
      if (column !== null && returned !== undefined)
        take(column, column.fromRow(returned), column.rawToParameter(returned));
    }
    state.snapshot = snapshot;
    state.lockedIn = transaction;
    this.#followForeignKeys(state, before);
  }

  /** Reads expired properties of an object whose other changes stay. */
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
    state.expired = null;
    this.#followForeignKeys(state, before);
  }

  /** What relations show that other tables keep: read again at the next load, and readable until then. */
  markRelationsStale(state: InstanceState, relations: readonly RelationMapping[]): void {
    if (state.relations === null) return;
    for (const relation of relations) {
      const seen = state.relations[relation.index];
      if (seen === undefined || seen.isStale === true || relation.isOwningToOne) continue;
      state.relations = [...state.relations];
      state.relations[relation.index] = { ...seen, isStale: true };
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

  #noteLock(state: InstanceState, options: ReadOptions, transaction: PhysicalTransaction | null): void {
    if (options.lock === 'key share') return;
    this.touchRead(state);
    if (options.lock !== 'share') state.lockedIn = transaction;
    state.trustedIn = transaction;
  }

  /** Keeps how an object stood before a read changes it, where a rollback has to bring that back. */
  touchRead(state: InstanceState): void {
    if (this.#unit.memory.isNested || this.#unit.hasWritten) this.#unit.memory.touch(state);
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
      state.relations[relation.index] = related === undefined ? undefined : { isToMany: false, related };
      relation.set(state.entity, related);
    }
  }
}

/** Null where the object is no instance of the asked class, or soft-deleted. */
function visible(state: InstanceState, mapping: EntityMapping, withDeleted: boolean): object | null {
  if (state.mapping !== mapping && mapping.root !== mapping && !mapping.hierarchy.includes(state.mapping)) return null;
  const { deleteDate } = state.mapping;
  if (!withDeleted && deleteDate !== null && state.snapshot?.[deleteDate.index] != null) return null;
  return state.entity;
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

function checkLock(mapping: EntityMapping, options: object & ReadOptions): void {
  const lock: unknown = options.lock;
  if (typeof lock !== 'object' || lock === null) return;
  throw new InvalidSessionOperationError(
    `find of ${mapping.name}: TypeORM's lock objects are not taken here. Use lock: 'update' | 'update key' | 'share' | 'key share', with nowait or skipLocked beside it.`,
  );
}
