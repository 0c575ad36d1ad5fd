import type { EntityMapping, IdentityKey } from '../database/entity-mapping.js';
import { lockClause } from '../database/loading.js';
import type { EntityQueries } from '../database/loading.js';
import type { Statement, StatementResult } from '../database/statement.js';
import { EntityNotFoundError, InvalidSessionOperationError } from '../errors/session-errors.js';
import type { PhysicalTransaction } from '../transaction/physical-transaction.js';
import type { InstanceState } from './instance-state.js';
import { RelationLoader } from './relation-loader.js';
import { isAmong } from '../flush/sql/row-source.js';
import { byColumn, keysOf } from './relation-queries.js';
import { RowIntake } from './row-intake.js';
import type { BelievingSession, IntakeOptions, ShapeKeeper } from './row-intake.js';
import type { UnitOfWork } from './unit-of-work.js';

/** What a session lets its reader use: the way to the database, and the flush before a query. */
export interface ReadingSession extends BelievingSession {
  autoflush(operation: string): Promise<void> | undefined;
  send(
    statements: readonly Statement[],
    operation: string,
    needs: 'read' | 'lock' | 'write',
  ): Promise<StatementResult[]>;
}

/** What reads of entities take beside locks. */
export interface ReadOptions extends IntakeOptions {
  /** Find rows that are soft-deleted, too; in relations as well. */
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
  readonly rows: RowIntake;
  #relations: RelationLoader | null = null;

  constructor(session: ReadingSession, unit: UnitOfWork, queries: EntityQueries, shapes: ShapeKeeper) {
    this.#session = session;
    this.#unit = unit;
    this.#queries = queries;
    this.rows = new RowIntake(session, unit, shapes);
  }

  get relations(): RelationLoader {
    return (this.#relations ??= new RelationLoader(this.#unit, this));
  }

  transaction(): PhysicalTransaction | null {
    return this.#session.transaction;
  }

  async query(
    statement: Statement,
    operation: string,
    needs: 'read' | 'lock' | 'write' = 'read',
  ): Promise<StatementResult> {
    const [result] = await this.#session.send([statement], operation, needs);
    return result!;
  }

  // ── by key ────────────────────────────────────────────────────────────────────────────────────────────

  /** The object of a key if the session has it and it is to be believed: without a promise, for the fast way. */
  known(mapping: EntityMapping, key: IdentityKey, withDeleted: boolean): object | null | undefined {
    const state = this.#unit.identity.get(mapping, key);
    if (state === undefined) return undefined;
    if (state.expired !== null) return undefined;
    if (this.rows.isStale(state, this.#session.transaction) && !this.#unit.isChanged(state)) return undefined;
    return visible(state, mapping, withDeleted);
  }

  async getMany(
    mapping: EntityMapping,
    ids: readonly unknown[],
    options: ReadOptions,
    operation: string,
    isRequired = false,
  ): Promise<(object | null)[]> {
    if (ids.length === 0) return [];
    const keys = ids.map((id) => mapping.keyParameters(id));
    const names = keys.map((key) => mapping.keyOfStored(key));
    const isLocking = options.lock !== undefined;
    const again = isLocking || options.populateExisting === true;
    const withDeleted = options.withDeleted === true;
    const found = (): (object | null | undefined)[] | null =>
      again ? null : names.map((name) => this.known(mapping, name, withDeleted));
    let objects = found();
    if (objects?.includes(undefined) === false) {
      if (isRequired && objects.includes(null)) throw notFound(mapping, ids, objects, operation);
      return objects as (object | null)[];
    }
    const flushing = this.#session.autoflush(operation);
    if (flushing !== undefined) {
      await flushing;
      objects = found();
    }
    const missing = new Map<IdentityKey, readonly unknown[]>();
    for (let at = 0; at < names.length; at++) {
      if (objects?.[at] === undefined) missing.set(names[at]!, keys[at]!);
    }
    const read =
      missing.size === 0
        ? null
        : this.#taken(mapping, missing, options, await this.#selected(mapping, missing, options, operation));
    const shown = names.map((name, at) => {
      const known = objects?.[at];
      const object = known === undefined ? read?.get(name) : known;
      return object == null ? null : visible(this.#unit.own(object)!, mapping, withDeleted);
    });
    if (isRequired && shown.includes(null)) {
      // Those that are there may be used all the same.
      await this.rows.tellLoaded();
      throw notFound(mapping, ids, shown, operation);
    }
    return shown;
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
    return this.#taken(mapping, keys, options, await this.#selected(mapping, keys, options, operation));
  }

  #selected(
    { root }: EntityMapping,
    keys: ReadonlyMap<IdentityKey, readonly unknown[]>,
    options: ReadOptions,
    operation: string,
  ): Promise<StatementResult[]> {
    const statement = selectByKey(root, [...keys.values()], options);
    return this.#session.send([statement], operation, options.lock === undefined ? 'read' : 'lock');
  }

  /** The objects of the rows that were selected by their keys. */
  #taken(
    mapping: EntityMapping,
    keys: ReadonlyMap<IdentityKey, readonly unknown[]>,
    options: ReadOptions,
    [selected]: readonly StatementResult[],
  ): Map<IdentityKey, object> {
    const { root } = mapping;
    const rows = selected!.rows as unknown[][];
    const read = new Map<IdentityKey, object>();
    const found = rows.map((row) => root.reader.key(row)!);
    const entities = this.rows.absorbAll(root, root.reader, rows, options);
    for (let at = 0; at < entities.length; at++) {
      const entity = entities[at];
      if (entity != null) read.set(found[at]!, entity);
    }
    if (read.size < keys.size && options.skipLocked !== true) {
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
    const result = await this.query(query.statement, operation, options.lock === undefined ? 'read' : 'lock');
    const reader = query.reader(result);
    let objects = withoutNulls(this.rows.absorbAll(mapping, reader, result.rows, options));
    if (query.mayRepeat) objects = [...new Set(objects)];
    if (query.relations.length > 0) {
      const states = objects.flatMap((object) => this.#unit.own(object) ?? []);
      await this.relations.load(states, query.relations, operation, {
        again: options.populateExisting === true,
        selects: query.selects,
        withDeleted: options.withDeleted === true,
      });
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
}

/** Null where the object is no instance of the asked class, or soft-deleted. */
function visible(state: InstanceState, mapping: EntityMapping, withDeleted: boolean): object | null {
  if (state.mapping !== mapping && mapping.root !== mapping && !mapping.hierarchy.includes(state.mapping)) return null;
  const { deleteDate } = state.mapping;
  if (!withDeleted && deleteDate !== null && state.snapshot?.[deleteDate.index] != null) return null;
  return state.entity;
}

/** Texts by mapping, number and lock: the same string each time, for whoever keeps statements by their text. */
const selects = new WeakMap<
  EntityMapping,
  { readonly ofOne: Map<string, string>; readonly ofMany: Map<string, string> }
>();

/** Rows by their keys; those of one statement are locked in the order in which they come. */
function selectByKey(root: EntityMapping, keys: readonly (readonly unknown[])[], options: ReadOptions): Statement {
  const lock = lockClause(options, 't');
  let known = selects.get(root);
  if (known === undefined) selects.set(root, (known = { ofOne: new Map(), ofMany: new Map() }));
  const isOne = keys.length === 1;
  const texts = isOne ? known.ofOne : known.ofMany;
  let text = texts.get(lock);
  if (text === undefined)
    texts.set(lock, (text = `${select(root)} WHERE ${isOne ? ofOne(root) : ofMany(root)}${lock}`));
  return { text, values: isOne ? keys[0]! : byColumn(root.keyColumns, keys), rowMode: 'array' };
}

function ofOne({ keyColumns }: EntityMapping): string {
  return keyColumns.map((column, at) => `t.${column.sql} = $${at + 1}`).join(' AND ');
}

function ofMany(mapping: EntityMapping): string {
  return `${isAmong(mapping.keyColumns, 't')} ORDER BY ${keysOf(mapping, 't')}`;
}

function select(root: EntityMapping): string {
  return `SELECT ${root.selectList('t')} FROM ${root.table} AS t`;
}

function notFound(
  { name }: EntityMapping,
  ids: readonly unknown[],
  objects: readonly unknown[],
  operation: string,
): EntityNotFoundError {
  const missing = ids.filter((_, at) => objects[at] === null);
  const otherwise = operation.replace('session.', '').replace('OrFail', '');
  return new EntityNotFoundError(
    `${name} ${missing.map(printed).join(', ')} not found. Ask with ${otherwise} where it may be missing.`,
    name,
    missing.length === 1 ? missing[0] : missing,
  );
}

function printed(id: unknown): string {
  return typeof id === 'object' && id !== null && !(id instanceof Date) ? JSON.stringify(id) : String(id);
}

function withoutNulls(objects: (object | null)[]): object[] {
  return objects.includes(null) ? objects.filter((object) => object !== null) : (objects as object[]);
}

function checkLock(mapping: EntityMapping, options: object & ReadOptions): void {
  const lock: unknown = options.lock;
  if (typeof lock !== 'object' || lock === null) return;
  throw new InvalidSessionOperationError(
    `find of ${mapping.name}: TypeORM's lock objects are not taken here. Use lock: 'update' | 'update key' | 'share' | 'key share', with nowait or skipLocked beside it.`,
  );
}
