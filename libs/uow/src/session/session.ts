import type { EntityMapping } from '../database/entity-mapping.js';
import type { Statement, StatementResult } from '../database/statement.js';
import { ConcurrentSessionUseError, InvalidSessionOperationError } from '../errors/session-errors.js';
import {
  IllegalTransactionStateError,
  ReadOnlyTransactionError,
  TransactionRequiredError,
} from '../errors/transaction-errors.js';
import { afterCommitError, commitTransaction, rollbackTransaction } from '../transaction/completion.js';
import type { PhysicalTransaction, Savepoint } from '../transaction/physical-transaction.js';
import { Place } from '../transaction/place.js';
import type { TransactionContext } from '../transaction/transaction-context.js';
import type { TransactionOptions } from '../transaction/transaction-definition.js';
import { rollbackScopeByHand } from '../transaction/transaction-manager.js';
import type { PreviewedStatement } from './flush-preview.js';
import { inspectState } from './inspect.js';
import type { Inspection } from './inspect.js';
import type { InstanceState, SessionIdentity } from './instance-state.js';
import { netChanges } from './net-changes.js';
import { Bulk } from './bulk.js';
import { Merging } from './merging.js';
import { Reader } from './reader.js';
import { SessionBuilderHost } from './builder-host.js';
import type { DbSession, ExecuteOptions, SqlRows } from './db-session.js';
import type { ReadingSession, ReadOptions } from './reader.js';
import { Refreshing } from './refreshing.js';
import { SessionFlush } from './session-flush.js';
import { SessionListeners } from './session-events.js';
import type { SessionSource } from './session-source.js';
import { SessionSynchronization } from './session-synchronization.js';
import { SessionTransaction } from './session-transaction.js';
import { streamOf } from './streaming.js';
import type { StreamOptions } from './streaming.js';
import { UnitOfWork } from './unit-of-work.js';

/** What a session is opened with. */
export interface SessionOptions {
  /** How messages name it. */
  readonly label?: string;
  readonly autobegin?: 'write' | 'read' | false;
  readonly autoflush?: boolean;
  readonly expireOnCommit?: boolean;
  /** Anything of the application's, beside what the factory's sessions have. */
  readonly info?: Readonly<Record<string, unknown>>;
}

let sessions = 0;

/**
 * The session of one context: the objects of one unit of work after the other, and the transaction that they
 * are read and written in. What users hold is `DbSession`, which finds this one at each use.
 */
export class Session implements SessionIdentity, ReadingSession {
  readonly id: string;
  readonly unit: UnitOfWork;
  readonly listeners: SessionListeners;
  readonly reader: Reader;
  #info: Record<string, unknown> | null = null;
  #refreshing: Refreshing | null = null;
  #merging: Merging | null = null;
  #bulk: Bulk | null = null;
  /** For whoever has to know that a user closed it. */
  whenClosed: (() => void) | null = null;
  readonly #source: SessionSource;
  readonly #context: TransactionContext;
  readonly #options: SessionOptions;
  readonly #flush: SessionFlush;
  readonly #inFlight: Place[] = [];
  #autoflushPaused = 0;

  constructor(source: SessionSource, context: TransactionContext, options: SessionOptions = {}) {
    sessions += 1;
    this.id = `${sessions}`;
    this.#source = source;
    this.#context = context;
    this.#options = options;
    this.listeners = new SessionListeners(source.listeners);
    this.unit = new UnitOfWork(this, source.mappings, this.listeners);
    this.reader = new Reader(this, this.unit, source.queries, source.shapes);
    this.#flush = new SessionFlush(this, this.unit, source);
    context.synchronization = new SessionSynchronization(this, this.unit, this.#flush);
    context.onClose(() => {
      this.unit.clear('close');
    });
  }

  // Few sessions use these: they are made for those that do.

  get info(): Record<string, unknown> {
    return (this.#info ??= { ...this.#source.info, ...this.#options.info });
  }

  get refreshing(): Refreshing {
    return (this.#refreshing ??= new Refreshing(this, this.unit, this.reader));
  }

  get merging(): Merging {
    return (this.#merging ??= new Merging(this, this.unit, this.reader, this.#context.database.report));
  }

  get bulk(): Bulk {
    return (this.#bulk ??= new Bulk(this, this.unit, this.reader, this.#source.queries));
  }

  /** The session as users hold it. */
  get handle(): DbSession {
    return this.#source.handleOf(this);
  }

  /** Memory after a commit; whoever listens gets the net changes, and is waited for. */
  committed(): Promise<void> | undefined {
    const changes = this.listeners.has('afterCommit') ? netChanges(this.unit.memory) : null;
    this.unit.committed(this.expiresOnCommit);
    return changes === null ? undefined : this.listeners.emit('afterCommit', { session: this.handle, changes });
  }

  get label(): string {
    return this.#options.label ?? this.#context.label;
  }

  get context(): TransactionContext {
    return this.#context;
  }

  get transaction(): PhysicalTransaction | null {
    return this.#context.transaction;
  }

  get trustsAfterCommit(): boolean {
    return !this.expiresOnCommit;
  }

  get expiresOnCommit(): boolean {
    return this.#options.expireOnCommit ?? this.#context.database.options.expireOnCommit;
  }

  get #autobegin(): 'write' | 'read' | false {
    return this.#options.autobegin ?? this.#context.database.options.autobegin;
  }

  get autoflushes(): boolean {
    return (this.#options.autoflush ?? this.#context.database.options.autoflush) && this.#autoflushPaused === 0;
  }

  // ── transactions ──────────────────────────────────────────────────────────────────────────────────────

  /**
   * The transaction that an operation runs in, begun where the session's mode says so; null for a read that
   * borrows a connection.
   */
  transactionFor(needs: 'read' | 'lock' | 'write', operation: string): PhysicalTransaction | null {
    const open = this.#context.transaction;
    if (open !== null) return open;
    this.#context.assertOpen(operation);
    const scope = this.#context.currentScope();
    if (scope !== null) {
      // The scope's own rollback by hand, or its end, refuses before anything could begin anew.
      scope.assertOpen(operation);
      if (needs === 'read') return null;
      throw new TransactionRequiredError(
        `${operation} in ${scope.label}, which has no transaction (${scope.definition.propagation}). Give it one: @Transactional() with REQUIRED, or session.transaction(…).`,
      );
    }
    if (this.#autobegin === false) {
      throw new TransactionRequiredError(
        `${operation}: the session begins no transaction by itself (autobegin: false). Call session.begin() first.`,
      );
    }
    if (needs === 'read' && this.#autobegin === 'write') return null;
    return this.#context.begin('autobegin', operation);
  }

  send(
    statements: readonly Statement[],
    operation: string,
    needs: 'read' | 'lock' | 'write',
  ): Promise<StatementResult[]> {
    const transaction = this.transactionFor(needs, operation);
    if (transaction === null) return this.#context.borrow(statements, operation);
    if (needs !== 'read') transaction.assertWritable(operation);
    return transaction.run(statements, {
      operation,
      readTransactionId: needs !== 'read',
      place: this.#placeOf(operation),
    });
  }

  async begin(options: TransactionOptions = {}): Promise<SessionTransaction> {
    this.#refuseInScope('begin()');
    this.#context.assertOpen('session.begin()');
    const transaction = this.#context.begin('begin', 'session.begin()', options);
    return Promise.resolve(new SessionTransaction(transaction, this));
  }

  async beginNested(): Promise<SessionTransaction> {
    const transaction =
      this.transactionFor('write', 'session.beginNested()') ?? this.#context.begin('begin', 'session.beginNested()');
    const savepoint = await transaction.openSavepoint('session.beginNested()');
    return new SessionTransaction(transaction, this, savepoint);
  }

  async inTransactionDo<T>(options: TransactionOptions, fn: () => T | Promise<T>): Promise<T> {
    return this.#source.runIn(this, options, fn);
  }

  async commit(operation = 'commit()'): Promise<void> {
    this.#refuseInScope(operation);
    this.#refuseWhileBusy(operation);
    let transaction = this.#context.transaction;
    if (transaction === null && this.unit.hasWork) transaction = this.transactionFor('write', `session.${operation}`);
    if (transaction === null) {
      // Nothing to send; hooks and expiry are the same as after any other commit.
      await this.listeners.emit('beforeCommit', { session: this.handle });
      if (!this.unit.hasWork) {
        await this.committed();
        return;
      }
      transaction = this.transactionFor('write', `session.${operation}`)!;
    }
    const failure = await commitTransaction(transaction, null);
    if (failure !== undefined) throw afterCommitError(this.label, failure, undefined);
  }

  async rollback(operation = 'rollback()'): Promise<void> {
    this.#refuseWhileBusy(operation);
    if (await rollbackScopeByHand(this.#context, `session.${operation}`)) return;
    const transaction = this.#context.transaction;
    if (transaction === null) this.unit.rolledBack();
    else await rollbackTransaction(transaction, null, null);
  }

  async close(): Promise<void> {
    this.#refuseInScope('close()');
    this.#refuseWhileBusy('close()');
    // Another branch may have begun the next one while this one was rolled back.
    for (let open = this.#context.transaction; open !== null; open = this.#context.transaction) {
      await rollbackTransaction(open, null, null);
    }
    this.unit.clear('close');
    this.whenClosed?.();
  }

  #refuseInScope(operation: string): void {
    const scope = this.#context.currentScope();
    if (scope === null || scope.kind === 'none') return;
    throw new IllegalTransactionStateError(
      `session.${operation} inside ${scope.label}: the transaction is that method's, which ends it when it returns or throws. Leave the call out; use beginNested() for a part that may fail.`,
    );
  }

  #refuseWhileBusy(operation: string): void {
    const [place] = this.#inFlight;
    if (place === undefined) return;
    throw new ConcurrentSessionUseError(
      `session.${operation} while ${place.toString()} is in flight on the same session. Await it first.`,
    );
  }

  /** Runs an operation that counts as in flight until it settles. */
  async during<T>(operation: string, fn: (name: string) => Promise<T>): Promise<T> {
    const place = this.#enter(operation);
    try {
      const result = await fn(place.label);
      if (this.reader.rows.hasLoaded) await this.reader.rows.tellLoaded();
      return result;
    } finally {
      this.#leave(place);
    }
  }

  #enter(operation: string): Place {
    const place = Place.ofOperation(`session.${operation}`, 9);
    this.#inFlight.push(place);
    return place;
  }

  #leave(place: Place): void {
    this.#inFlight.splice(this.#inFlight.indexOf(place), 1);
  }

  /** Where the operation of this name that is in flight was started, if there is just one. */
  #placeOf(name: string): Place | undefined {
    let found: Place | undefined;
    for (const place of this.#inFlight) {
      if (place.label !== name) continue;
      if (found !== undefined) return undefined;
      found = place;
    }
    return found;
  }

  // ── flushing ──────────────────────────────────────────────────────────────────────────────────────────

  flush(): Promise<void> {
    this.assertWritable('session.flush()');
    return this.#flush.flush('session.flush()');
  }

  previewFlush(): PreviewedStatement[] {
    return this.#flush.preview();
  }

  /** Flushes before a query; without a promise where there is nothing to flush. */
  autoflush(operation: string): Promise<void> | undefined {
    if (!this.autoflushes || this.#flush.isRunning || this.transaction?.readOnly === true) return undefined;
    return this.unit.hasWork ? this.#autoflush(operation) : undefined;
  }

  async #autoflush(operation: string): Promise<void> {
    const name = `the autoflush before ${operation}`;
    try {
      await this.#flush.flush(name);
    } catch (error) {
      // Whoever reads it sees a query in the stack, and would look for the failure there.
      if (error instanceof Error && !error.message.includes(name)) {
        error.message += ` This came from ${name}; flush() earlier, or query inside noAutoflush(), to keep them apart.`;
      }
      throw error;
    }
  }

  async noAutoflush<T>(fn: () => T | Promise<T>): Promise<T> {
    this.#autoflushPaused++;
    try {
      return await fn();
    } finally {
      this.#autoflushPaused--;
    }
  }

  // ── objects ───────────────────────────────────────────────────────────────────────────────────────────

  add(entity: object): void {
    this.assertWritable('session.add()');
    this.#expectBegun('session.add()');
    this.unit.add(entity);
  }

  delete(entity: object): void {
    this.assertWritable('session.delete()');
    this.#expectBegun('session.delete()');
    this.unit.markDeleted(entity);
  }

  expunge(entity: object): void {
    const mapping = this.unit.mappingOf(entity);
    const state = this.unit.own(entity);
    if (state === undefined) {
      throw new InvalidSessionOperationError(`expunge: this ${mapping.name} is not in the session.`);
    }
    this.unit.memory.touch(state);
    this.unit.expunge(state);
  }

  relationPaths(state: InstanceState, relations: unknown): string[] {
    return this.#source.queries.relationPaths(state.mapping, relations);
  }

  /** Tells of a bulk statement; gives its count. */
  async bulkDone(name: 'afterBulkUpdate' | 'afterBulkDelete', entity: string, count: number): Promise<number> {
    if (this.listeners.has(name)) await this.listeners.emit(name, { session: this.handle, entity, count });
    return count;
  }

  assertWritable(operation: string): void {
    this.#context.assertOpen(operation);
    const transaction = this.#context.transaction;
    if (transaction !== null) {
      transaction.assertWritable(operation);
      return;
    }
    const scope = this.#context.currentScope();
    if (scope?.readOnly === true) {
      throw new ReadOnlyTransactionError(`${operation} in ${scope.label}, which is read-only.`);
    }
  }

  #expectBegun(operation: string): void {
    if (this.#autobegin === false && this.#context.transaction === null) this.transactionFor('write', operation);
  }

  // ── reading ───────────────────────────────────────────────────────────────────────────────────────────

  mapping(target: unknown): EntityMapping {
    return this.unit.supported(this.#source.mappings.of(target));
  }

  /**
   * @param isRequired true where a missing one is an error
   * @throws EntityNotFoundError naming those that are missing and required
   */
  async getMany(
    target: unknown,
    ids: readonly unknown[],
    options: ReadOptions,
    operation: string,
    isRequired = false,
  ): Promise<(object | null)[]> {
    const mapping = this.mapping(target);
    // As in `during`, with one promise less: nothing is called more often.
    const place = this.#enter(operation);
    try {
      const objects = await this.reader.getMany(mapping, ids, options, place.label, isRequired);
      if (this.reader.rows.hasLoaded) await this.reader.rows.tellLoaded();
      return objects;
    } finally {
      this.#leave(place);
    }
  }

  /** The object that the session has, without a promise; undefined when it has to be read. */
  known(target: unknown, id: unknown): object | null | undefined {
    const mapping = this.mapping(target);
    return this.reader.known(mapping, mapping.keyOfStored(mapping.keyParameters(id)), false);
  }

  async loadRelations(entities: object | readonly object[], relations: unknown, operation: string): Promise<void> {
    const objects = Array.isArray(entities) ? (entities as readonly object[]) : [entities];
    if (objects.length === 0) return;
    await this.autoflush(operation);
    const states = objects.map((entity) => {
      const mapping = this.unit.mappingOf(entity);
      const state = this.unit.own(entity);
      if (state?.state === 'persistent') return state;
      throw new InvalidSessionOperationError(`load: this ${mapping.name} is not persistent in the session.`);
    });
    await this.reader.relations.load(
      states,
      this.#source.queries.relationPaths(states[0]!.mapping, relations),
      operation,
    );
  }

  async execute<T>(
    sql: string,
    parameters: readonly unknown[],
    options: ExecuteOptions,
    operation: string,
  ): Promise<SqlRows<T>> {
    await this.autoflush(operation);
    const needs = options.readOnly === true || this.transaction?.readOnly === true ? 'read' : 'write';
    const [result] = await this.send([{ text: sql, values: parameters }], operation, needs);
    if (needs === 'write') this.unit.hasWritten = true;
    const { rows, rowCount, command } = result!;
    Object.defineProperties(rows, {
      rowCount: { value: rowCount, configurable: true },
      command: { value: command, configurable: true },
      rows: { value: rows, configurable: true },
    });
    return rows as SqlRows<T>;
  }

  createQueryBuilder(target: unknown, alias: string): object {
    return this.#source.queries.createQueryBuilder(this.mapping(target), alias, new SessionBuilderHost(this));
  }

  stream(target: unknown, options: object & StreamOptions): AsyncGenerator<object> {
    return streamOf(this.#source, this, this.mapping(target), options);
  }

  // ── looking ───────────────────────────────────────────────────────────────────────────────────────────

  inspect(entity: object): Inspection {
    return inspectState(entity, this);
  }

  /** True when leaving the session now would lose something. */
  get hasUncommittedWork(): boolean {
    return this.#context.transaction !== null || this.unit.hasWork;
  }

  /** What would be lost, for an error message; null when nothing would. */
  describeUncommittedWork(): string | null {
    const transaction = this.#context.transaction;
    const unflushed = this.describeUnflushedWork();
    if (transaction === null) return unflushed;
    const begun = `a transaction begun by ${transaction.place.toString()}`;
    return unflushed === null ? begun : `${begun}, ${unflushed}`;
  }

  /** New, deleted and changed objects that were not flushed, counted; null when there are none. */
  describeUnflushedWork(): string | null {
    // Asked at the end of every request, when there is nothing as a rule.
    if (!this.unit.hasWork) return null;
    const parts: string[] = [];
    const count = (objects: number, what: string): void => {
      if (objects > 0) parts.push(`${objects} ${what} object${objects === 1 ? '' : 's'}`);
    };
    count(this.unit.pending.size, 'new');
    count(this.unit.toDelete.size, 'deleted');
    count(this.dirty.length, 'changed');
    return parts.length === 0 ? null : parts.join(', ');
  }

  get dirty(): object[] {
    const changed: object[] = [];
    this.unit.identity.forEach((state: InstanceState) => {
      if (!state.isMarkedDeleted && this.unit.isChanged(state)) changed.push(state.entity);
    });
    return changed;
  }

  /** Ends a savepoint that was opened by hand. */
  async endSavepoint(transaction: PhysicalTransaction, savepoint: Savepoint, keep: boolean): Promise<void> {
    if (keep) await transaction.releaseSavepoint(savepoint);
    else await transaction.rollbackSavepoint(savepoint);
  }
}
