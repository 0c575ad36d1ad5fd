import type { Database } from '../database/database.js';
import {
  AfterCommitError,
  CommitOutcomeUnknownError,
  IllegalTransactionStateError,
  TransactionAlreadyBegunError,
  TransactionClosedError,
  TransactionRolledBackError,
  UnawaitedWorkError,
  UnexpectedRollbackError,
} from '../errors/transaction-errors.js';
import { AmbientUnit } from './ambient-unit.js';
import type { UnitOwner } from './ambient-unit.js';
import { ambientFrame, currentFrame, frameIn, innermostScope, runDetached, runInFrame } from './ambient.js';
import type { Frame } from './ambient.js';
import { afterCommitError, commitTransaction, rollbackTransaction, runCompleting } from './completion.js';
import { PhysicalTransaction } from './physical-transaction.js';
import { Place } from './place.js';
import { participate } from './propagation.js';
import { pauseBefore, shouldRetry } from './retry-policy.js';
import { rollsBack } from './rollback-rules.js';
import type { TransactionContext } from './transaction-context.js';
import { checkDemands, defineTransaction } from './transaction-definition.js';
import type { TransactionDefinition, TransactionOptions } from './transaction-definition.js';
import type { CompletionStatus, TransactionHooks } from './transaction-hooks.js';
import { TransactionScope } from './transaction-scope.js';
import type { TransactionObserver } from './transaction-synchronization.js';
import { statusOf } from './transaction-status.js';
import type { TransactionStatus } from './transaction-status.js';

/** How a scope's function ended. */
type Result<T> = { readonly threw: false; readonly value: T } | { readonly threw: true; readonly error: unknown };

const NOTHING_STRAY: readonly Place[] = Object.freeze([]);

/**
 * Runs functions in transactions: the engine behind `@Transactional()`, and its programmatic twin (Spring's
 * `TransactionTemplate`). One per application.
 *
 * @example
 * await transactions.run({ isolation: 'SERIALIZABLE', retry: { attempts: 3 } }, async () => {
 *   await transfers.move(from, to, 100n);
 * });
 */
export class TransactionManager implements UnitOwner {
  readonly #databases = new Map<string, Database>();
  readonly #rootDefaults = new Map<Database, TransactionOptions>();
  readonly #observers = new Map<Database, TransactionObserver>();
  #default: Database | null = null;

  /**
   * Adds a data source; the first one, or the one named `default`, is the default.
   * @param rootDefaults what holds for root scopes that do not say otherwise
   * @throws IllegalTransactionStateError when the name is taken
   */
  add(database: Database, rootDefaults: TransactionOptions = {}): void {
    if (this.#databases.has(database.name)) {
      throw new IllegalTransactionStateError(
        `The data source "${database.name}" is registered twice. Give each UowModule.forRoot() a name of its own.`,
      );
    }
    this.#databases.set(database.name, database);
    this.#rootDefaults.set(database, rootDefaults);
    if (this.#default === null || database.name === 'default') this.#default = database;
  }

  /** Forgets a data source whose module ends. */
  remove(database: Database): void {
    this.#databases.delete(database.name);
    this.#rootDefaults.delete(database);
    if (this.#default === database) this.#default = this.#databases.values().next().value ?? null;
  }

  owns(database: Database): boolean {
    return this.#databases.get(database.name) === database;
  }

  rollBack(transaction: PhysicalTransaction): Promise<unknown> {
    return rollbackTransaction(transaction, null, null);
  }

  observerOf(database: Database): TransactionObserver | null {
    return this.#observers.get(database) ?? null;
  }

  /** Sets who is told, awaited, of the physical transactions of a data source. */
  observe(database: Database, observer: TransactionObserver | null): void {
    if (observer === null) this.#observers.delete(database);
    else this.#observers.set(database, observer);
  }

  /** The data sources of the application. */
  get databases(): Iterable<Database> {
    return this.#databases.values();
  }

  /**
   * The data source with the name, or the default one.
   * @throws IllegalTransactionStateError when there is none
   */
  database(name?: string): Database {
    const found = name === undefined ? this.#default : this.#databases.get(name);
    if (found != null) return found;
    throw new IllegalTransactionStateError(
      name === undefined
        ? 'No data source is registered. Import UowModule.forRoot() in the root module.'
        : `No data source "${name}" is registered; there are: ${[...this.#databases.keys()].join(', ')}. Import UowModule.forRoot({ name: '${name}' }).`,
    );
  }

  /**
   * Runs `fn` in a transaction as the options say; without options REQUIRED: in the open one, else in a new
   * one that commits when `fn` returns and rolls back when it throws.
   * @returns what `fn` returns, after COMMIT
   * @throws what `fn` throws, after ROLLBACK; UnexpectedRollbackError, TransactionRolledBackError and the other
   * errors of `docs/reference/errors.md` when the work could not be committed
   */
  run<T>(fn: () => T | Promise<T>): Promise<T>;
  run<T>(options: TransactionOptions, fn: () => T | Promise<T>): Promise<T>;
  async run<T>(first: TransactionOptions | (() => T | Promise<T>), second?: () => T | Promise<T>): Promise<T> {
    const options = typeof first === 'function' ? {} : first;
    const fn = typeof first === 'function' ? first : second;
    if (typeof fn !== 'function') {
      throw new IllegalTransactionStateError(
        'TransactionManager.run() takes a function to run, alone or after its options.',
      );
    }
    const definition = defineTransaction(options, fn.name === '' ? 'TransactionManager.run()' : fn.name);
    return this.execute(this.database(options.dataSource), definition, fn);
  }

  /** The engine behind `run` and the decorator: a definition that has been made already. */
  async execute<T>(database: Database, definition: TransactionDefinition, fn: () => T | Promise<T>): Promise<T> {
    const frame = ambientFrame(database);
    if (frame === null) return this.#inOwnUnit(database, definition, fn);
    const context = frame.contextOf(database) as TransactionContext;
    const scope = frame.scope ?? null;
    const place = new Place(definition.label, false);
    if (scope === null) context.assertOpen(place.toString());
    if (scope === null || frame.completing === true) {
      return this.#participate(context, scope, frame, definition, fn, place);
    }
    scope.enter(place);
    try {
      return await this.#participate(context, scope, frame, definition, fn, place);
    } finally {
      scope.leave(place);
    }
  }

  async #inOwnUnit<T>(
    database: Database,
    definition: TransactionDefinition,
    fn: () => T | Promise<T>,
    suspended: TransactionContext | null = null,
  ): Promise<T> {
    const unit = new AmbientUnit(this, currentFrame() ?? null, definition.label, suspended);
    try {
      return await unit.run(() => {
        const context = unit.contextOf(database) as TransactionContext;
        const place = new Place(definition.label, false);
        return this.#participate(context, null, unit, definition, fn, place);
      });
    } finally {
      await unit.close();
    }
  }

  #participate<T>(
    context: TransactionContext,
    scope: TransactionScope | null,
    frame: Frame,
    definition: TransactionDefinition,
    fn: () => T | Promise<T>,
    place: Place,
  ): Promise<T> {
    const open = openTransaction(context, frame);
    switch (participate(definition.propagation, definition.label, open?.label ?? null)) {
      case 'begin':
        if (definition.propagation === 'REQUIRES_NEW' && context.busy) {
          return this.#inOwnUnit(context.database, definition, fn);
        }
        return this.#begin(context, scope, definition, fn);
      case 'join':
        return this.#join(context, open as PhysicalTransaction, scope, frame, definition, fn);
      case 'savepoint':
        return this.#nest(context, open as PhysicalTransaction, scope, frame, definition, fn, place);
      case 'suspendAndBegin':
      case 'suspendAndGoWithout':
        return this.#inOwnUnit(context.database, definition, fn, context);
      case 'goWithout':
        return this.#goWithout(context, scope, definition, fn);
    }
  }

  // ── root ──────────────────────────────────────────────────────────────────────────────────────────────

  async #begin<T>(
    context: TransactionContext,
    outer: TransactionScope | null,
    asked: TransactionDefinition,
    fn: () => T | Promise<T>,
  ): Promise<T> {
    const definition = withDefaults(asked, this.#rootDefaults.get(context.database), context.database);
    const place = new Place(definition.label);
    const expiresAt = definition.timeout === undefined ? Infinity : performance.now() + definition.timeout;
    for (let attempt = 1; ; attempt += 1) {
      const waiting = context.enterRoot(place);
      if (waiting !== undefined) await waiting;
      try {
        return await this.#attempt(context, outer, definition, fn, place, attempt, expiresAt);
      } catch (error) {
        if (
          definition.retry === undefined ||
          error instanceof CommitOutcomeUnknownError ||
          error instanceof AfterCommitError ||
          !shouldRetry(definition.retry, attempt, error)
        ) {
          throw error;
        }
        const pause = pauseBefore(definition.retry, attempt + 1);
        if (performance.now() + pause >= expiresAt || definition.signal?.aborted === true) throw error;
        await new Promise((resolve) => setTimeout(resolve, pause));
      } finally {
        context.leaveRoot();
      }
    }
  }

  async #attempt<T>(
    context: TransactionContext,
    outer: TransactionScope | null,
    definition: TransactionDefinition,
    fn: () => T | Promise<T>,
    place: Place,
    attempt: number,
    expiresAt: number,
  ): Promise<T> {
    const already = context.transaction;
    if (already !== null) throw begunByItself(definition, already);
    const transaction = new PhysicalTransaction(
      context,
      expiresAt === Infinity ? definition : { ...definition, timeout: Math.max(1, expiresAt - performance.now()) },
      'declared',
      place,
    );
    context.open(transaction);
    const scope = new TransactionScope(
      'root',
      this,
      currentFrame() ?? null,
      context,
      transaction,
      transaction.turns.root,
      definition,
      outer,
      attempt,
    );
    const result = await call(scope, transaction, fn);
    const stray = await settle(scope, transaction);
    try {
      return await completeRoot(scope, transaction, result, stray);
    } finally {
      scope.close();
    }
  }

  // ── joined ────────────────────────────────────────────────────────────────────────────────────────────

  async #join<T>(
    context: TransactionContext,
    transaction: PhysicalTransaction,
    outer: TransactionScope | null,
    frame: Frame,
    definition: TransactionDefinition,
    fn: () => T | Promise<T>,
  ): Promise<T> {
    refuseAutobegun(definition, transaction);
    demand(definition, transaction, outer);
    const scope = new TransactionScope(
      'joined',
      this,
      currentFrame() ?? null,
      context,
      transaction,
      frame.level ?? transaction.levelHere(),
      definition,
      outer,
      outer?.attempt ?? 1,
    );
    const result = await call(scope, transaction, fn);
    const stray = await settle(scope, transaction);
    scope.close();
    const owner = scope.ownerScope;
    if (result.threw) {
      if (rollsBack(result.error, definition.rollbackFor, definition.noRollbackFor)) {
        if (owner === null) transaction.noteFailure(result.error);
        else owner.mark ??= { by: scope, reason: result.error };
      }
      throw result.error;
    }
    if (stray.length > 0) {
      const error = unawaited(scope, stray);
      if (context.database.options.unawaited === 'warn') warnUnawaited(context.database, error);
      else {
        if (owner !== null) owner.mark ??= { by: scope, reason: error };
        throw error;
      }
    }
    return result.value;
  }

  // ── savepoint ─────────────────────────────────────────────────────────────────────────────────────────

  async #nest<T>(
    context: TransactionContext,
    transaction: PhysicalTransaction,
    outer: TransactionScope | null,
    frame: Frame,
    definition: TransactionDefinition,
    fn: () => T | Promise<T>,
    place: Place,
  ): Promise<T> {
    refuseAutobegun(definition, transaction);
    demand(definition, transaction, outer);
    const { turns } = transaction;
    const parentLevel = frame.transaction === transaction ? frame.level : frameIn(transaction)?.level;
    const waiting = turns.take(parentLevel ?? turns.root, place);
    if (waiting !== undefined) await waiting;
    const level = turns.open(parentLevel ?? turns.root, place);
    try {
      const scope = new TransactionScope(
        'savepoint',
        this,
        currentFrame() ?? null,
        context,
        transaction,
        level,
        definition,
        outer,
        outer?.attempt ?? 1,
      );
      transaction.refuseAfterFailure();
      await runCompleting(transaction, scope, async () => context.synchronization?.beforeSavepoint?.(transaction));
      scope.savepoint = transaction.pushSavepoint(place, false);
      const result = await call(scope, transaction, fn);
      const stray = await settle(scope, transaction);
      try {
        return await runCompleting(transaction, scope, () => completeSavepoint(scope, transaction, result, stray));
      } finally {
        scope.close();
      }
    } finally {
      turns.close(level);
    }
  }

  // ── without ───────────────────────────────────────────────────────────────────────────────────────────

  async #goWithout<T>(
    context: TransactionContext,
    outer: TransactionScope | null,
    definition: TransactionDefinition,
    fn: () => T | Promise<T>,
  ): Promise<T> {
    if (definition.retry !== undefined) {
      throw new IllegalTransactionStateError(
        `${definition.label} declares retry, but runs without a transaction: there is nothing to run again.`,
      );
    }
    const scope = new TransactionScope('none', this, currentFrame() ?? null, context, null, null, definition, outer, 1);
    try {
      return await runInFrame(scope, fn);
    } finally {
      await scope.settle();
      scope.close();
    }
  }

  // ── units, status, hooks ──────────────────────────────────────────────────────────────────────────────

  /** Opens a unit of work for a request, a message or a job; whoever opens it closes it. */
  openUnit(label: string): AmbientUnit {
    return new AmbientUnit(this, currentFrame() ?? null, label);
  }

  /**
   * Runs `fn` in a unit of its own, where none is around it: with a session, without a transaction.
   * @param label how messages name it, such as `cron nightly-report`
   */
  async runInContext<T>(label: string, fn: () => T | Promise<T>): Promise<T> {
    const unit = this.openUnit(label);
    try {
      return await unit.run(fn);
    } finally {
      await unit.settled();
      await unit.close();
    }
  }

  /** What runs now; `null` outside every scope. */
  current(): TransactionStatus | null {
    const scope = innermostScope(this);
    return scope === null ? null : statusOf(scope);
  }

  /**
   * Lets the nearest scope that owns the transaction or a savepoint roll back at its end, without an error
   * when it is said in that scope itself (as in Spring); a scope that joined makes its owner throw
   * UnexpectedRollbackError.
   * @param reason what the error will say
   * @throws IllegalTransactionStateError outside every scope
   */
  setRollbackOnly(reason?: unknown): void {
    const scope = innermostScope(this);
    if (scope === null) {
      throw new IllegalTransactionStateError('setRollbackOnly() was called outside every transactional scope.');
    }
    scope.assertOpen('setRollbackOnly()');
    const mark = { by: scope, reason: reason ?? 'setRollbackOnly() was called' };
    if (scope.ownerScope === scope) {
      // What the owner itself decides holds whoever else marked, before or after (Spring's local rollback-only).
      scope.mark = mark;
    } else if (scope.ownerScope !== null) {
      scope.ownerScope.mark ??= mark;
    } else if (scope.transaction !== null) {
      scope.transaction.noteFailure(reason ?? new Error('setRollbackOnly() was called'));
    }
  }

  /** Has `fn` called before COMMIT, inside the transaction; what it throws rolls back. */
  beforeCommit(fn: () => unknown): void {
    this.#hooks('beforeCommit').beforeCommit.push(fn);
  }

  /** Has `fn` called before COMMIT and before ROLLBACK; what it throws is reported only. */
  beforeCompletion(fn: () => unknown): void {
    this.#hooks('beforeCompletion').beforeCompletion.push(fn);
  }

  /** Has `fn` called after COMMIT, with no transaction; what it throws reaches the caller as AfterCommitError. */
  afterCommit(fn: () => unknown): void {
    this.#hooks('afterCommit').afterCommit.push(fn);
  }

  /** Has `fn` called after ROLLBACK, with no transaction and memory restored; what it throws is reported only. */
  afterRollback(fn: () => unknown): void {
    this.#hooks('afterRollback').afterRollback.push(fn);
  }

  /** Has `fn` called last, with the outcome; what it throws is reported only. */
  afterCompletion(fn: (status: CompletionStatus) => unknown): void {
    this.#hooks('afterCompletion').afterCompletion.push(fn);
  }

  #hooks(name: string): TransactionHooks {
    const frame = currentFrame();
    const scope = innermostScope(this);
    const transaction =
      scope?.transaction ?? (scope === null && frame?.owner === this ? openByHand(this, frame) : null);
    if (!transaction?.isActive) {
      throw new IllegalTransactionStateError(
        `${name}() needs a transaction, but none is open here. Call it inside a transactional method.`,
      );
    }
    return transaction.hooks;
  }

  /**
   * Runs background work outside the calling scope: no ambient session, no transaction, and the scope does not
   * wait for it.
   */
  detach<T>(fn: () => T): T {
    return runDetached(fn);
  }
}

function openByHand(manager: TransactionManager, frame: Frame): PhysicalTransaction | null {
  for (const database of manager.databases) {
    const open = frame.contextOf(database)?.transaction ?? null;
    if (open !== null && open.origin !== 'declared') return open;
  }
  return null;
}

/** The transaction that a scope finds open: the declared one of the calling flow, or one by hand. */
function openTransaction(context: TransactionContext, frame: Frame): PhysicalTransaction | null {
  if (frame.transaction != null) {
    if (!frame.transaction.isActive && frame.completing !== true) {
      throw frame.transaction.abortReason ?? frame.transaction.closedError('A transactional call');
    }
    return frame.transaction;
  }
  if (frame.scope != null) return null;
  const open = context.transaction;
  return open !== null && open.origin !== 'declared' ? open : null;
}

function begunByItself(definition: TransactionDefinition, open: PhysicalTransaction): TransactionAlreadyBegunError {
  return new TransactionAlreadyBegunError(
    `${definition.label} would begin a transaction, but its session has one that began at ${open.place.toString()}. ` +
      `Commit or roll that back first, or move the earlier work into ${definition.label}.`,
  );
}

function refuseAutobegun(definition: TransactionDefinition, open: PhysicalTransaction): void {
  if (open.origin === 'autobegin' && definition.propagation !== 'SUPPORTS') {
    throw begunByItself(definition, open);
  }
}

function demand(
  definition: TransactionDefinition,
  transaction: PhysicalTransaction,
  outer: TransactionScope | null,
): void {
  const readOnly = transaction.readOnly || outer?.readOnly === true;
  checkDemands(definition, transaction.definition, readOnly);
  if (definition.timeout !== undefined) transaction.expireIn(definition.timeout, definition.label);
}

/** Module defaults fill in what a root scope leaves open. */
function withDefaults(
  definition: TransactionDefinition,
  defaults: TransactionOptions | undefined,
  database: Database,
): TransactionDefinition {
  const isolation = database.options.isolation as TransactionDefinition['isolation'];
  if (defaults === undefined || Object.keys(defaults).length === 0) {
    return definition.isolation !== undefined || isolation === undefined ? definition : { ...definition, isolation };
  }
  const filled = defineTransaction(defaults, definition.label);
  return {
    ...definition,
    isolation: definition.isolation ?? filled.isolation ?? isolation,
    readOnly: definition.readOnly ?? filled.readOnly,
    deferrable: definition.deferrable ?? filled.deferrable,
    timeout: definition.timeout ?? filled.timeout,
    retry: definition.retry ?? filled.retry,
    rollbackFor: definition.rollbackFor.length > 0 ? definition.rollbackFor : filled.rollbackFor,
    noRollbackFor: definition.noRollbackFor.length > 0 ? definition.noRollbackFor : filled.noRollbackFor,
    locals: filled.locals === undefined ? definition.locals : { ...filled.locals, ...definition.locals },
    signal: definition.signal ?? filled.signal,
  };
}

/** Calls the scope's function; a deadline or a signal ends the wait for it. */
async function call<T>(
  scope: TransactionScope,
  transaction: PhysicalTransaction,
  fn: () => T | Promise<T>,
): Promise<Result<T>> {
  try {
    const signal = transaction.abortSignal;
    if (signal === undefined) return { threw: false, value: await runInFrame(scope, fn) };
    signal.throwIfAborted();
    let stop: (() => void) | undefined;
    const aborted = new Promise<never>((_, reject) => {
      const onAbort = (): void => {
        reject(signal.reason as Error);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      stop = () => {
        signal.removeEventListener('abort', onAbort);
      };
    });
    try {
      return { threw: false, value: await Promise.race([runInFrame(scope, async () => fn()), aborted]) };
    } finally {
      stop?.();
    }
  } catch (error) {
    return { threw: true, error };
  }
}

/** Waits for what is in flight, unless the transaction was given up: then nothing of it counts any more. */
async function settle(scope: TransactionScope, transaction: PhysicalTransaction): Promise<readonly Place[]> {
  if (!scope.busy || transaction.abortReason !== null) {
    scope.stop();
    return NOTHING_STRAY;
  }
  return scope.settle();
}

function unawaited(scope: TransactionScope, stray: readonly Place[]): UnawaitedWorkError {
  return new UnawaitedWorkError(
    `${scope.label} returned while work that it had started was still in flight: ${stray.map(String).join('; ')}. ` +
      `It was rolled back. Await that work, or run it apart with TransactionManager.detach().`,
  );
}

function warnUnawaited(database: Database, error: UnawaitedWorkError): void {
  database.report({ code: 'UOW_WARN_UNAWAITED_WORK', message: error.message, error });
}

/**
 * Decides about an owner whose function has settled.
 * @returns the error that must roll it back, `null` where it rolls back in silence, `undefined` to commit
 */
function verdict<T>(scope: TransactionScope, failure: unknown, result: Result<T>, stray: readonly Place[]): unknown {
  const { mark, definition } = scope;
  if (result.threw && rollsBack(result.error, definition.rollbackFor, definition.noRollbackFor)) {
    return result.error;
  }
  if (!result.threw && stray.length > 0) {
    const error = unawaited(scope, stray);
    if (scope.context.database.options.unawaited === 'error') return error;
    warnUnawaited(scope.context.database, error);
  }
  if (mark !== null && mark.by !== scope) {
    return new UnexpectedRollbackError(
      `${scope.label} returned normally, but ${mark.by.label}, which had joined it, had marked it rollback-only: ${textOf(
        mark.reason,
      )}. It was rolled back. Let the error through, or give ${mark.by.label} NESTED so that it fails alone.`,
      mark.by.label,
      { cause: mark.reason },
    );
  }
  if (scope.rolledBackInside || mark !== null) return null;
  if (failure !== null) {
    return new TransactionRolledBackError(
      `${scope.label} returned normally, but a statement inside had failed and its error was swallowed, so PostgreSQL keeps nothing of it: ${textOf(
        failure,
      )}. Let the error through, or put what may fail into a NESTED scope.`,
      { cause: failure },
    );
  }
  return undefined;
}

/** The error that ended a transaction from outside tells, where it can, what its function threw. */
function abortedWith<T>(reason: Error, result: Result<T>): Error {
  if (result.threw && result.error !== reason && reason.cause === undefined) {
    Object.defineProperty(reason, 'cause', {
      value: result.error,
      configurable: true,
      writable: true,
    });
  }
  return reason;
}

async function completeRoot<T>(
  scope: TransactionScope,
  transaction: PhysicalTransaction,
  result: Result<T>,
  stray: readonly Place[],
): Promise<T> {
  if (transaction.abortReason !== null) {
    const reason = abortedWith(transaction.abortReason, result);
    await rollbackTransaction(transaction, scope, reason);
    throw reason;
  }
  const reason = verdict(scope, transaction.failure, result, stray);
  if (reason === undefined) {
    const hookFailure = await commitTransaction(transaction, scope);
    if (result.threw) throw result.error;
    if (hookFailure !== undefined) throw afterCommitError(scope.label, hookFailure, result.value);
    return result.value;
  }
  const failed = await rollbackTransaction(transaction, scope, reason);
  if (reason !== null) throw withRollbackError(reason, failed);
  if (result.threw) throw result.error;
  return result.value;
}

async function completeSavepoint<T>(
  scope: TransactionScope,
  transaction: PhysicalTransaction,
  result: Result<T>,
  stray: readonly Place[],
): Promise<T> {
  const savepoint = scope.savepoint as NonNullable<TransactionScope['savepoint']>;
  if (transaction.abortReason !== null) throw abortedWith(transaction.abortReason, result);
  let reason = verdict(scope, transaction.failure, result, stray);
  if (reason === undefined) {
    try {
      await transaction.releaseSavepoint(savepoint);
    } catch (error) {
      reason = error;
    }
  }
  if (reason === undefined) {
    if (result.threw) throw result.error;
    return result.value;
  }
  let failed: unknown;
  if (savepoint.isActive) {
    try {
      await transaction.rollbackSavepoint(savepoint, reason);
    } catch (error) {
      failed = error;
    }
  }
  if (reason !== null) throw withRollbackError(reason, failed);
  if (result.threw) throw result.error;
  return (result as { value: T }).value;
}

/** The application's error survives a failing rollback; the other is attached as `rollbackError`. */
function withRollbackError(error: unknown, failed: unknown): unknown {
  if (failed !== undefined && typeof error === 'object' && error !== null && Object.isExtensible(error)) {
    Object.defineProperty(error, 'rollbackError', {
      value: failed,
      configurable: true,
      writable: true,
      enumerable: false,
    });
  }
  return error;
}

/**
 * Rolls back by hand the nearest owner around the running code, at once.
 * @returns false where the code runs in no declared scope of the context
 * @throws TransactionClosedError when it was rolled back already
 */
export async function rollbackScopeByHand(context: TransactionContext, operation: string): Promise<boolean> {
  const scope = context.currentScope();
  const owner = scope?.ownerScope ?? null;
  if (scope === null || owner === null || scope.transaction === null) return false;
  scope.assertOpen(operation);
  if (owner.rolledBackInside) {
    throw new TransactionClosedError(`${operation}: ${owner.label} was rolled back by hand already.`);
  }
  const reason = new Error(`${operation} was called in ${scope.label}`);
  if (owner !== scope) owner.mark ??= { by: scope, reason };
  if (owner.savepoint !== null) await scope.transaction.rollbackSavepoint(owner.savepoint, reason);
  else await rollbackTransaction(scope.transaction, owner, reason);
  owner.rolledBackInside = true;
  return true;
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
