import type {
  EntitySchema,
  FindManyOptions,
  FindOneOptions,
  FindOptionsWhere,
  ObjectLiteral,
  SelectQueryBuilder,
} from 'typeorm';
import { EntityNotFoundError } from '../errors/session-errors.js';
import type { TransactionOptions } from '../transaction/transaction-definition.js';
import type { PreviewedStatement } from './flush-preview.js';
import { changesOf } from './inspect.js';
import type { Inspection, ValueChange } from './inspect.js';
import type { LockOptions } from '../database/loading.js';
import type { BulkInsertOptions, BulkOptions } from './bulk.js';
import type { MergeOptions } from './merging.js';
import type { ReadOptions } from './reader.js';
import type { StreamOptions } from './streaming.js';
import type { RefreshOptions } from './refreshing.js';
import type { Session } from './session.js';
import type { SessionEventName, SessionListener } from './session-events.js';
import { SessionTransaction } from './session-transaction.js';

/** A class, an `EntitySchema`, or the name of one. */
export type EntityClass<T> = (abstract new (...args: never[]) => T) | EntitySchema<T> | string;

/** `find` options: TypeORM's, with the session's locks in place of TypeORM's. */
export type SessionFindOptions<T> = Omit<FindManyOptions<T & ObjectLiteral>, 'lock' | 'transaction' | 'cache'> &
  ReadOptions;
export type SessionFindOneOptions<T> = Omit<FindOneOptions<T & ObjectLiteral>, 'lock' | 'transaction' | 'cache'> &
  ReadOptions;

/** Conditions of bulk statements: TypeORM's, one object or several of which one has to hold. */
export type BulkCriteria<T> = FindOptionsWhere<T & ObjectLiteral> | FindOptionsWhere<T & ObjectLiteral>[];

/** A row of a bulk statement: properties of the entity, each a value or a function that gives SQL. */
export type BulkRow<T> = { [K in keyof T]?: T[K] | (() => string) | { readonly [P in keyof T[K]]?: unknown } };

/** What `execute` and `sql` take. */
export interface ExecuteOptions {
  /** True for SQL that only reads: it begins no transaction by itself. */
  readonly readOnly?: boolean;
}

/** Rows of a statement, with what the server said beside them. */
export type SqlRows<T> = T[] & { readonly rowCount: number | null; readonly command: string | null };

/**
 * The session: the objects of one unit of work, and the transaction that they are read and written in
 * (SQLAlchemy's `Session`). Inject it anywhere, singletons included: at each use it finds the session of the
 * running request, message, job or `@Transactional()` call (SQLAlchemy's `scoped_session`).
 *
 * @example
 * const [source, target] = await this.session.getManyOrFail(Account, [from, to], { lock: 'update' });
 * source.withdraw(amount);
 * target.deposit(amount);
 */
export class DbSession implements AsyncDisposable {
  readonly #find: () => Session;

  /** @internal Made by the module and by `DbSessionFactory`. */
  constructor(find: () => Session) {
    this.#find = find;
  }

  // ── objects ───────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Makes a new object, and all that it reaches by its relations, part of the session; the next flush inserts
   * them. A detached object becomes persistent again.
   * @throws UnmappedEntityError for an object of no entity class
   * @throws InvalidSessionOperationError for an object of another session, or one that was deleted
   */
  add(entity: object): void {
    this.#find().add(entity);
  }

  /** `add` for each. */
  addAll(entities: Iterable<object>): void {
    const session = this.#find();
    for (const entity of entities) session.add(entity);
  }

  /**
   * Marks a persistent object; the next flush deletes its row.
   * @throws InvalidSessionOperationError for an object that has no row, or is another session's
   */
  delete(entity: object): void {
    this.#find().delete(entity);
  }

  /** `delete` for each. */
  deleteAll(entities: Iterable<object>): void {
    const session = this.#find();
    for (const entity of entities) session.delete(entity);
  }

  /**
   * Takes an object out of the session; what was not flushed of it is not written.
   * @throws InvalidSessionOperationError when it is not in the session
   */
  expunge(entity: object): void {
    this.#find().expunge(entity);
  }

  /** Takes every object out of the session. */
  expungeAll(): void {
    this.#find().unit.clear('expunge');
  }

  /**
   * Copies an object's state, and that of what it reaches, onto the session's own objects of the same rows, which
   * are read where the session does not have them; without a row, or without a key, onto new pending ones. What
   * is undefined on the given object is not copied. The given object itself is left as it is, and outside.
   * (SQLAlchemy's `merge`.)
   * @returns the session's object
   * @throws StaleDataError when the given object has a version that is not the row's
   * @throws InvalidSessionOperationError with `load: false`, for an object that was not loaded or has changes
   */
  async merge<T extends object>(entity: T, options: MergeOptions = {}): Promise<T> {
    const [merged] = await this.mergeAll([entity], options);
    return merged!;
  }

  /** `merge` for each, with one query for each table. */
  async mergeAll<T extends object>(entities: Iterable<T>, options: MergeOptions = {}): Promise<T[]> {
    const session = this.#find();
    session.assertWritable('session.merge()');
    return session.during('merge()', (name) => session.merging.merge([...entities], options, name)) as Promise<T[]>;
  }

  /**
   * Reads objects again and overwrites them, what was set on them and not flushed included; one query for each
   * table. Collections that are loaded go back to what they were loaded with, and count as not up to date: the
   * next `load` reads them. (SQLAlchemy's `refresh`.)
   * @param options a lock for the rows; `relations` to be read again as well, with the objects in them
   * @throws EntityNotFoundError when a row is gone; its object has left the session
   * @throws InvalidSessionOperationError for an object that is not persistent in this session
   */
  async refresh<T extends object>(entities: T | readonly T[], options: RefreshOptions = {}): Promise<void> {
    const session = this.#find();
    const objects: readonly object[] = isArray(entities) ? entities : [entities];
    await session.during('refresh()', (name) => session.refreshing.refresh(objects, options, name));
  }

  /**
   * Gives up what was set on an object and not flushed, and has the next read of it bring it up to its row.
   * Until then it keeps the last values that were read. Sends nothing. (SQLAlchemy's `expire`.)
   * @param properties only these; changes of others stay
   * @throws InvalidSessionOperationError for an object that is not persistent in this session
   */
  expire<T extends object>(entity: T, properties?: readonly (keyof T & string)[]): void {
    this.#find().refreshing.expire(entity, properties);
  }

  /** `expire` for every persistent object; new ones stay as they are. Use it after SQL that changed their rows. */
  expireAll(): void {
    this.#find().refreshing.expireAll();
  }

  /**
   * Cuts an object off from its row and from the session, as if it had just been made: adding it inserts a new
   * row. A rollback does not bring it back.
   */
  makeTransient(entity: object): void {
    this.#find().unit.makeTransient(entity);
  }

  /**
   * Makes a transient object that has a key stand for its row, without SQL; `add` it then, and reads fill in the
   * columns that are not set.
   * @throws InvalidSessionOperationError for an object that is not transient, or has no key
   */
  makeTransientToDetached(entity: object): void {
    this.#find().unit.makeTransientToDetached(entity);
  }

  /** True when the object is in the session: pending or persistent. */
  has(entity: object): boolean {
    const state = this.#find().unit.own(entity);
    return state !== undefined && (state.state === 'pending' || state.state === 'persistent');
  }

  // ── reading ───────────────────────────────────────────────────────────────────────────────────────────

  /**
   * The object with a key: from the session without SQL where it is loaded and to be believed, else read.
   * @param id the key: a value, or an object of the parts of a composite key
   * @param options a lock always reads the row afresh
   * @returns null when there is no such row
   */
  async get<T extends object>(target: EntityClass<T>, id: unknown, options?: ReadOptions): Promise<T | null> {
    const session = this.#find();
    if (options === undefined) {
      const known = session.known(target, id);
      if (known !== undefined) return known as T | null;
    }
    return (await session.getMany(target, [id], options ?? {}, 'get()'))[0] as T | null;
  }

  /**
   * As `get`.
   * @throws EntityNotFoundError when there is no such row
   */
  async getOrFail<T extends object>(target: EntityClass<T>, id: unknown, options?: ReadOptions): Promise<T> {
    const session = this.#find();
    if (options === undefined) {
      const known = session.known(target, id);
      if (known != null) return known as T;
    }
    return (await session.getMany(target, [id], options ?? {}, 'getOrFail()', true))[0] as T;
  }

  /**
   * The objects with the given keys, in their order, null in the place of each that is missing. Rows that a
   * lock takes are locked in key order, whatever the order of the ids, so that two opposite calls cannot
   * deadlock.
   */
  getMany<T extends object, const I extends readonly unknown[]>(
    target: EntityClass<T>,
    ids: I,
    options?: ReadOptions,
  ): Promise<{ -readonly [K in keyof I]: T | null }> {
    return this.#ask((session) => session.getMany(target, ids, options ?? {}, 'getMany()')) as Promise<never>;
  }

  /**
   * As `getMany`, for keys that must all exist.
   * @throws EntityNotFoundError naming the missing ones
   */
  getManyOrFail<T extends object, const I extends readonly unknown[]>(
    target: EntityClass<T>,
    ids: I,
    options?: ReadOptions,
  ): Promise<{ -readonly [K in keyof I]: T }> {
    return this.#ask((session) =>
      session.getMany(target, ids, options ?? {}, 'getManyOrFail()', true),
    ) as Promise<never>;
  }

  /** Hands a question on; where there is no session to ask, that is a rejection like any other. */
  #ask<T>(question: (session: Session) => Promise<T>): Promise<T> {
    try {
      return question(this.#find());
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** The objects that match; TypeORM's find options, results through the session. */
  async find<T extends object>(target: EntityClass<T>, options?: SessionFindOptions<T>): Promise<T[]> {
    const session = this.#find();
    const mapping = session.mapping(target);
    return session.during('find()', (name) => session.reader.find(mapping, options ?? {}, name)) as Promise<T[]>;
  }

  /** The first object that matches; null when none does. */
  async findOne<T extends object>(target: EntityClass<T>, options?: SessionFindOneOptions<T>): Promise<T | null> {
    const session = this.#find();
    const mapping = session.mapping(target);
    const found = await session.during('findOne()', (name) =>
      session.reader.find(mapping, { ...options, take: 1 } as ReadOptions, name),
    );
    return (found[0] ?? null) as T | null;
  }

  /**
   * As `findOne`.
   * @throws EntityNotFoundError when nothing matches
   */
  async findOneOrFail<T extends object>(target: EntityClass<T>, options?: SessionFindOneOptions<T>): Promise<T> {
    const found = await this.findOne(target, options);
    if (found !== null) return found;
    const { name } = this.#find().mapping(target);
    throw new EntityNotFoundError(
      `No ${name} matches the criteria of findOneOrFail(). Ask with findOne() where there may be none.`,
      name,
      options?.where ?? null,
    );
  }

  /** How many objects match. */
  async count<T extends object>(
    target: EntityClass<T>,
    options?: Pick<SessionFindOptions<T>, 'where' | 'withDeleted'>,
  ): Promise<number> {
    const session = this.#find();
    const mapping = session.mapping(target);
    return session.during('count()', (name) => session.reader.count(mapping, options ?? {}, name));
  }

  /** Whether an object matches. */
  async exists<T extends object>(
    target: EntityClass<T>,
    options?: Pick<SessionFindOptions<T>, 'where' | 'withDeleted'>,
  ): Promise<boolean> {
    const session = this.#find();
    const mapping = session.mapping(target);
    return session.during('exists()', (name) => session.reader.exists(mapping, options ?? {}, name));
  }

  /**
   * TypeORM's query builder: it runs in the session's transaction, after an autoflush, and gives the session's own
   * objects. A builder of `update()`, `delete()` or `insert()` begins a transaction as any write does; loaded objects of its
   * entity are read again when they are next asked for.
   * @example
   * const accounts = await session.createQueryBuilder(Account, 'a').where('a.balance < :limit', { limit }).getMany();
   */
  createQueryBuilder<T extends object>(target: EntityClass<T>, alias: string): SelectQueryBuilder<T> {
    return this.#find().createQueryBuilder(target, alias) as SelectQueryBuilder<T>;
  }

  /**
   * Reads objects one after another through a cursor of the server: any number of them in the memory of one
   * batch. They are not tracked. Outside a transaction the stream has a read-only one of its own until the
   * iteration ends; a commit or rollback during it ends it with an error.
   * @param options find options without relations, and `batchSize`: rows fetched at once (500)
   * @example
   * for await (const entry of session.stream(LedgerEntry, { where: { accountId } })) sum += entry.amount;
   */
  stream<T extends object>(
    target: EntityClass<T>,
    options: Omit<SessionFindOptions<T>, 'relations' | keyof LockOptions> & StreamOptions = {},
  ): AsyncIterableIterator<T> {
    return this.#find().stream(target, options) as AsyncGenerator<T>;
  }

  /**
   * Loads relations of objects that are loaded already: one query for each relation, however many objects.
   * @param options `relations`: paths such as `'entries'`, or TypeORM's tree of them
   */
  async load<T extends object>(
    entities: T | readonly T[],
    options: { readonly relations: readonly string[] | object },
  ): Promise<void> {
    const session = this.#find();
    await session.during('load()', (name) => session.loadRelations(entities, options.relations, name));
  }

  /**
   * Runs SQL in the session's transaction, after an autoflush.
   * @param parameters values of `$1`, `$2`, …
   * @returns its rows, with `rowCount` and `command` beside them
   */
  async execute<T = Record<string, unknown>>(
    sql: string,
    parameters: readonly unknown[] = [],
    options: ExecuteOptions = {},
  ): Promise<SqlRows<T>> {
    const session = this.#find();
    return session.during('execute()', (name) => session.execute<T>(sql, parameters, options, name));
  }

  /**
   * Runs a template as SQL; what stands in `${…}` becomes a parameter, never text.
   * @example
   * const [{ total }] = await session.sql<{ total: string }>`SELECT sum(balance) AS total FROM accounts WHERE currency = ${currency}`;
   */
  sql<T = Record<string, unknown>>(options: ExecuteOptions): SqlTag<T>;
  sql<T = Record<string, unknown>>(text: TemplateStringsArray, ...values: unknown[]): Promise<SqlRows<T>>;
  sql<T = Record<string, unknown>>(
    first: TemplateStringsArray | ExecuteOptions,
    ...values: unknown[]
  ): Promise<SqlRows<T>> | SqlTag<T> {
    if (isTemplate(first))
      return this.execute<T>(
        first.reduce((sql, part, at) => `${sql}$${at}${part}`),
        values,
      );
    return (text, ...parts) =>
      this.execute<T>(
        text.reduce((sql, part, at) => `${sql}$${at}${part}`),
        parts,
        first,
      );
  }

  // ── writing ───────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Sends what is pending, without committing: generated keys, defaults, versions and timestamps are on the
   * objects afterwards, and constraints are checked. Sends nothing when nothing has changed.
   * @throws StaleDataError when a row is not as it was read
   * @throws UniqueViolationError and the other typed errors of the database
   */
  async flush(): Promise<void> {
    const session = this.#find();
    await session.during('flush()', () => session.flush());
  }

  /**
   * The statements that a flush would send now, in order, each with its reason. Sends nothing.
   * @example
   * for (const { sql, reason } of session.previewFlush()) logger.debug(`${reason}: ${sql}`);
   */
  previewFlush(): readonly PreviewedStatement[] {
    return this.#find().previewFlush();
  }

  /**
   * Flushes and commits the session's transaction. Objects stay readable with their last values; the next read
   * brings them up to date.
   * @throws IllegalTransactionStateError inside a `@Transactional()` method, which commits by itself
   */
  commit(): Promise<void> {
    return this.#find().commit();
  }

  /**
   * Rolls back, and memory with it. In a `@Transactional()` method it acts on the nearest scope that owns a
   * savepoint or the transaction. Without a transaction it drops what is pending.
   */
  rollback(): Promise<void> {
    return this.#find().rollback();
  }

  /** Rolls back what is open and takes every object out; the session can be used again. */
  close(): Promise<void> {
    return this.#find().close();
  }

  /** As `close`. */
  reset(): Promise<void> {
    return this.#find().close();
  }

  /**
   * Begins a transaction by hand; BEGIN travels with its first statement.
   * @returns its handle
   * @throws TransactionAlreadyBegunError when the session has one, naming where it began
   */
  begin(options?: TransactionOptions): Promise<SessionTransaction> {
    return this.#find().begin(options);
  }

  /**
   * Flushes, and opens a savepoint; begins a transaction where there is none.
   * @returns its handle: `commit()` releases it, `rollback()` takes back what was done since
   */
  beginNested(): Promise<SessionTransaction> {
    return this.#find().beginNested();
  }

  /**
   * Runs a function in the session's transaction: in the open one, else in one of its own that commits when
   * the function returns and rolls back when it throws.
   */
  transaction<T>(fn: (session: this) => T | Promise<T>): Promise<T>;
  transaction<T>(options: TransactionOptions, fn: (session: this) => T | Promise<T>): Promise<T>;
  transaction<T>(
    first: TransactionOptions | ((session: this) => T | Promise<T>),
    second?: (session: this) => T | Promise<T>,
  ): Promise<T> {
    const options = typeof first === 'function' ? {} : first;
    const fn = typeof first === 'function' ? first : second!;
    return this.#find().inTransactionDo(options, () => fn(this));
  }

  /** Runs a function during which queries do not flush first. */
  noAutoflush<T>(fn: () => T | Promise<T>): Promise<T> {
    return this.#find().noAutoflush(fn);
  }

  /**
   * Inserts rows without an object for each: one statement for rows of the same properties, ten thousand at a time.
   * Versions start at 1; listeners and cascades do not run, and the given rows are left as they are. All of them are
   * looked at before the first is sent; very many are read once more, each when its turn comes, so change none until
   * the promise is fulfilled.
   * @param rows plain objects of properties; a function is SQL in place of a value
   * @returns how many rows were written; with `returning: true` their objects, in the order of the rows
   */
  bulkInsert<T extends object>(
    target: EntityClass<T>,
    rows: readonly BulkRow<T>[],
    options: BulkInsertOptions & { readonly returning: true },
  ): Promise<T[]>;
  bulkInsert<T extends object>(
    target: EntityClass<T>,
    rows: readonly BulkRow<T>[],
    options?: BulkInsertOptions,
  ): Promise<number>;
  async bulkInsert<T extends object>(
    target: EntityClass<T>,
    rows: readonly BulkRow<T>[],
    options: BulkInsertOptions = {},
  ): Promise<number | T[]> {
    const session = this.#find();
    session.assertWritable('session.bulkInsert()');
    const mapping = session.mapping(target);
    const { count, entities } = await session.during('bulkInsert()', async (name) => {
      await session.autoflush(name);
      return session.bulk.insert(mapping, rows, options, name);
    });
    return options.returning === true ? (entities as T[]) : count;
  }

  /**
   * Updates the rows that match criteria, with one statement and after an autoflush. Objects that the session has
   * of them get the new values and are not modified by it. Versions count up and are not checked. With rows
   * instead of criteria it updates each by its key, and checks a version that is given.
   * @param where TypeORM's conditions; none at all needs `all: true`
   * @param set properties and their values; a function is SQL in place of a value
   * @returns how many rows were written
   * @throws StaleDataError when a row given by its key is gone, or has another version
   */
  bulkUpdate<T extends object>(target: EntityClass<T>, rows: readonly BulkRow<T>[]): Promise<number>;
  bulkUpdate<T extends object>(
    target: EntityClass<T>,
    where: BulkCriteria<T>,
    set: BulkRow<T>,
    options?: BulkOptions,
  ): Promise<number>;
  async bulkUpdate<T extends object>(
    target: EntityClass<T>,
    where: BulkCriteria<T> | readonly BulkRow<T>[],
    set?: BulkRow<T>,
    options: BulkOptions = {},
  ): Promise<number> {
    const session = this.#find();
    session.assertWritable('session.bulkUpdate()');
    const mapping = session.mapping(target);
    return session.during('bulkUpdate()', async (name) => {
      const count =
        set === undefined
          ? await session.bulk.updateRows(mapping, where as readonly object[], name)
          : await session.bulk.update(mapping, where, set, options, name);
      return session.bulkDone('afterBulkUpdate', mapping.name, count);
    });
  }

  /**
   * Deletes the rows that match criteria, with one statement and after an autoflush. Objects that the session has
   * of them are deleted objects; a rollback brings them back. Only the database's own cascades take part.
   * @param where TypeORM's conditions; none at all needs `all: true`
   * @returns how many rows were deleted
   */
  async bulkDelete<T extends object>(
    target: EntityClass<T>,
    where: BulkCriteria<T>,
    options: BulkOptions = {},
  ): Promise<number> {
    const session = this.#find();
    session.assertWritable('session.bulkDelete()');
    const mapping = session.mapping(target);
    return session.during('bulkDelete()', async (name) => {
      const count = await session.bulk.delete(mapping, where, options, name);
      return session.bulkDone('afterBulkDelete', mapping.name, count);
    });
  }

  // ── looking ───────────────────────────────────────────────────────────────────────────────────────────

  /** Objects that the next flush inserts. */
  get new(): readonly object[] {
    return [...this.#find().unit.pending].map((state) => state.entity);
  }

  /** Persistent objects with net changes. */
  get dirty(): readonly object[] {
    return this.#find().dirty;
  }

  /** Objects that the next flush deletes. */
  get deleted(): readonly object[] {
    return [...this.#find().unit.toDelete].map((state) => state.entity);
  }

  /** True when the object has net changes, or is new. Never sends SQL. */
  isModified(entity: object): boolean {
    const session = this.#find();
    session.unit.mappingOf(entity);
    const state = session.unit.own(entity);
    if (state === undefined) return false;
    return state.state === 'pending' || (state.state === 'persistent' && session.unit.isChanged(state));
  }

  /** Net changes of an object, by property. */
  changesOf(entity: object): Readonly<Record<string, ValueChange>> {
    const session = this.#find();
    session.unit.mappingOf(entity);
    const state = session.unit.own(entity);
    return state === undefined ? {} : changesOf(state);
  }

  /** What the session knows of an object. */
  inspect(entity: object): Inspection {
    return this.#find().inspect(entity);
  }

  /** True while a transaction is open, whether or not BEGIN has been sent. */
  get inTransaction(): boolean {
    return this.#find().transaction !== null;
  }

  /** True while a savepoint is open. */
  get inNestedTransaction(): boolean {
    return this.#find().transaction?.savepoint != null;
  }

  /** False after a failure that has not been rolled back: until then everything is refused. */
  get isActive(): boolean {
    const transaction = this.#find().transaction;
    return transaction === null || transaction.failure === null;
  }

  /** The handle of the open transaction; null without one. */
  getTransaction(): SessionTransaction | null {
    const session = this.#find();
    return session.transaction === null ? null : new SessionTransaction(session.transaction, session);
  }

  /** The handle of the innermost open savepoint; null without one. */
  getNestedTransaction(): SessionTransaction | null {
    const session = this.#find();
    const savepoint = session.transaction?.savepoint ?? null;
    return savepoint === null ? null : new SessionTransaction(savepoint.transaction, session, savepoint);
  }

  /** Number of the session, as messages name it. */
  get id(): string {
    return this.#find().id;
  }

  /** A place for the application's own data. */
  get info(): Record<string, unknown> {
    return this.#find().info;
  }

  /**
   * Listens to an event of this session.
   * @returns a function that ends the listening
   */
  on<K extends SessionEventName>(name: K, listener: SessionListener<K>): () => void {
    return this.#find().listeners.on(name, listener);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#find().close();
  }

  /** Prints as a name, inside a context and outside one alike. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }

  toString(): string {
    try {
      const { id, label } = this.#find();
      return `DbSession ${id} (${label})`;
    } catch {
      return 'DbSession (outside every context)';
    }
  }

  toJSON(): string {
    return this.toString();
  }
}

/** A tag for templates of SQL. */
export type SqlTag<T> = (text: TemplateStringsArray, ...values: unknown[]) => Promise<SqlRows<T>>;

function isArray<T>(value: T | readonly T[]): value is readonly T[] {
  return Array.isArray(value);
}

function isTemplate(value: object): value is TemplateStringsArray {
  return Array.isArray(value);
}
