import type { Database } from '../database/database.js';
import { IllegalTransactionStateError, TransactionClosedError } from '../errors/transaction-errors.js';
import { AmbientUnit } from './ambient-unit.js';
import type { UnitOwner } from './ambient-unit.js';
import { ambientFrame, awaitInFrame, currentFrame, innermostScope, runDetached } from './ambient.js';
import type { Frame } from './ambient.js';
import { rollbackTransaction } from './completion.js';
import { runJoined, runNested } from './joining-scope.js';
import type { Around } from './joining-scope.js';
import type { PhysicalTransaction } from './physical-transaction.js';
import { Place } from './place.js';
import { participate } from './propagation.js';
import { runRoot } from './root-scope.js';
import type { TransactionContext } from './transaction-context.js';
import { defineTransaction, refuseWithoutTransaction, withDefaults } from './transaction-definition.js';
import type { TransactionDefinition, TransactionOptions } from './transaction-definition.js';
import type { CompletionStatus, TransactionHooks } from './transaction-hooks.js';
import { TransactionScope } from './transaction-scope.js';
import type { TransactionObserver } from './transaction-synchronization.js';
import { statusOf } from './transaction-status.js';
import type { TransactionStatus } from './transaction-status.js';
import { abandonUnclaimed } from './unclaimed.js';

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

  /**
   * Adds a data source. The one named `default`, or the only one, is meant where none is named.
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
  }

  /** Forgets a data source whose module ends. */
  remove(database: Database): void {
    this.#databases.delete(database.name);
    this.#rootDefaults.delete(database);
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
    const found = name === undefined ? this.#unnamed() : this.#databases.get(name);
    if (found !== undefined) return found;
    const names = [...this.#databases.keys()].join(', ');
    if (name !== undefined) {
      throw new IllegalTransactionStateError(
        `No data source "${name}" is registered; there are: ${names}. Import UowModule.forRoot({ name: '${name}' }).`,
      );
    }
    throw new IllegalTransactionStateError(
      names === ''
        ? 'No data source is registered. Import UowModule.forRoot() in the root module.'
        : `There are several data sources (${names}) and none of them is the default one, so which is meant has to be said: { dataSource: '…' }.`,
    );
  }

  /** Never by the order in which data sources happen to connect. */
  #unnamed(): Database | undefined {
    return (
      this.#databases.get('default') ?? (this.#databases.size === 1 ? this.#databases.values().next().value : undefined)
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
    // Where a function is run says more than what it is called.
    return this.execute(this.database(options.dataSource), definition, fn, new Place(definition.label, 6));
  }

  /**
   * The engine behind `run` and the decorator: a definition that has been made already.
   * @param place a method is named by its class; capturing a stack at each call of one would cost more than the call
   */
  execute<T>(
    database: Database,
    definition: TransactionDefinition,
    fn: () => T | Promise<T>,
    place = new Place(definition.label, false),
  ): Promise<T> {
    const frame = ambientFrame(database);
    return frame === null
      ? this.#inOwnUnit(database, definition, fn, place)
      : this.#below(frame, database, definition, fn, place);
  }

  /** Inside a unit or a scope, which counts the call as in flight. */
  #below<T>(
    frame: Frame,
    database: Database,
    definition: TransactionDefinition,
    fn: () => T | Promise<T>,
    place: Place,
  ): Promise<T> {
    const context = frame.contextOf(database) as TransactionContext;
    const scope = frame.scope ?? null;
    const counting = frame.completing === true ? null : scope;
    try {
      if (scope === null) context.assertOpen(place);
      counting?.assertOpen(place);
      return this.#participate(context, scope, frame, definition, fn, place, counting);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async #inOwnUnit<T>(
    database: Database,
    definition: TransactionDefinition,
    fn: () => T | Promise<T>,
    place: Place,
    suspended: TransactionContext | null = null,
  ): Promise<T> {
    const unit = new AmbientUnit(this, currentFrame() ?? null, definition.label, suspended);
    try {
      const context = unit.contextOf(database) as TransactionContext;
      // Nothing runs in the unit itself: its scope is entered at once.
      return await this.#participate(context, null, unit, definition, fn, place, null, unit);
    } finally {
      const closing = unit.closing();
      if (closing !== undefined) await closing;
    }
  }

  /**
   * One branch for each line of the table in `propagation.ts`.
   * @param counting the scope that counts the call as in flight
   * @param unit the one that was made for the call alone, and is not entered: its scope is, at once
   */
  #participate<T>(
    context: TransactionContext,
    scope: TransactionScope | null,
    frame: Frame,
    definition: TransactionDefinition,
    fn: () => T | Promise<T>,
    place: Place,
    counting: TransactionScope | null = null,
    unit: AmbientUnit | null = null,
  ): Promise<T> {
    const open = openTransaction(context, frame);
    const participation = participate(definition.propagation, definition.label, open?.label ?? null);
    // A scope that joins counts itself: one promise less between a call and its caller, where there are the most of them.
    if (counting !== null && participation !== 'join') {
      return counted(counting, place, () => this.#participate(context, scope, frame, definition, fn, place));
    }
    const around = (): Around => ({
      owner: this,
      context,
      transaction: open as PhysicalTransaction,
      scope,
      frame,
    });
    switch (participation) {
      case 'begin':
        // It does not wait for a root scope that runs beside it; the others do.
        if (definition.propagation === 'REQUIRES_NEW' && context.busy) {
          return this.#inOwnUnit(context.database, definition, fn, place);
        }
        return runRoot(
          this,
          context,
          scope,
          unit ?? currentFrame() ?? null,
          withDefaults(definition, this.#rootDefaults.get(context.database), context.database.options.isolation),
          fn,
          place,
        );
      case 'join':
        return runJoined(around(), definition, fn, place, counting);
      case 'savepoint':
        return runNested(around(), definition, fn, place);
      case 'suspendAndBegin':
      case 'suspendAndGoWithout':
        return this.#inOwnUnit(context.database, definition, fn, place, context);
      case 'goWithout':
        return this.#goWithout(context, scope, unit ?? currentFrame() ?? null, definition, fn);
    }
  }

  async #goWithout<T>(
    context: TransactionContext,
    outer: TransactionScope | null,
    parent: Frame | null,
    definition: TransactionDefinition,
    fn: () => T | Promise<T>,
  ): Promise<T> {
    refuseWithoutTransaction(definition, context.database);
    const scope = new TransactionScope('none', this, parent, context, null, null, definition, outer, 1);
    try {
      return await awaitInFrame(scope, fn);
    } finally {
      abandonUnclaimed(scope);
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
    if (currentFrame()?.completing !== true) scope.assertOpen('setRollbackOnly()');
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
    this.#hooks('beforeCommit').add('beforeCommit', fn);
  }

  /** Has `fn` called before COMMIT and before ROLLBACK; what it throws is reported only. */
  beforeCompletion(fn: () => unknown): void {
    this.#hooks('beforeCompletion').add('beforeCompletion', fn);
  }

  /** Has `fn` called after COMMIT, with no transaction; what it throws reaches the caller as AfterCommitError. */
  afterCommit(fn: () => unknown): void {
    this.#hooks('afterCommit').add('afterCommit', fn);
  }

  /** Has `fn` called after ROLLBACK, with no transaction and memory restored; what it throws is reported only. */
  afterRollback(fn: () => unknown): void {
    this.#hooks('afterRollback').add('afterRollback', fn);
  }

  /** Has `fn` called last, with the outcome; what it throws is reported only. */
  afterCompletion(fn: (status: CompletionStatus) => unknown): void {
    this.#hooks('afterCompletion').add('afterCompletion', fn);
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

/** Does the work while the scope counts it as in flight. */
async function counted<T>(scope: TransactionScope, place: Place, work: () => Promise<T>): Promise<T> {
  scope.enter(place);
  try {
    return await work();
  } finally {
    scope.leave(place);
  }
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
