import { BatchFailure } from '../database/batch.js';
import type { ConnectionHolder, Database } from '../database/database.js';
import type { Statement, StatementResult } from '../database/statement.js';
import {
  PendingRollbackError,
  ReadOnlyTransactionError,
  TransactionClosedError,
} from '../errors/transaction-errors.js';
import { frameIn } from './ambient.js';
import { Committing, exchangeCommit } from './committing.js';
import { GivingUp } from './giving-up.js';
import type { Urgency } from './giving-up.js';
import { sendJoined } from './joined-statement.js';
import { Operations } from './operations.js';
import { Place } from './place.js';
import { Savepoint } from './savepoint-stack.js';
import type { TransactionContext } from './transaction-context.js';
import type { TransactionDefinition } from './transaction-definition.js';
import { TransactionHooks } from './transaction-hooks.js';
import type { HookName } from './transaction-hooks.js';
import type { CommitPayload } from './transaction-synchronization.js';
import { TransactionWire } from './transaction-wire.js';
import { TransactionWireHost } from './transaction-wire-host.js';
import { Turns } from './turns.js';
import type { TurnLevel } from './turns.js';

export { Savepoint };

/**
 * One BEGIN … COMMIT on one connection, as the code inside it meets it: operations take turns, are refused after
 * a failure, after the end and once it was given up; BEGIN travels with the first of them. What the server sees
 * of it is `TransactionWire`; whether it is given up early is `GivingUp`.
 */

/** How a transaction ended; `unknown` where the answer to COMMIT was lost, or somebody else ended it. */
export type TransactionOutcome = 'committed' | 'rolledBack' | 'unknown';

let transactions = 0;

export class PhysicalTransaction implements ConnectionHolder {
  readonly id: number;
  #hooks: TransactionHooks | null = null;
  readonly #context: TransactionContext;
  readonly #turns: Turns;
  readonly #operations: Operations;
  /** Made with the first statement. */
  #madeWire: TransactionWire | null = null;
  readonly #expiresAt: number;
  readonly #givingUp: GivingUp;
  #inner: Set<PhysicalTransaction> | null = null;
  #outcome: TransactionOutcome | null = null;
  #whenEnded: (() => void)[] | null = null;

  constructor(
    context: TransactionContext,
    /** What was asked for. */
    readonly definition: TransactionDefinition,
    /** Who opened it: a declared scope, `begin()`, or a session's first write. */
    readonly origin: 'declared' | 'begin' | 'autobegin',
    readonly place: Place,
    /** `performance.now()` at which its own timeout passes; a retry keeps that of the first attempt. */
    expiresAt: number = definition.timeout === undefined ? Infinity : performance.now() + definition.timeout,
  ) {
    transactions += 1;
    this.id = transactions;
    this.#context = context;
    this.#turns = new Turns(place, context.database.options.stallAfter);
    this.#operations = new Operations(this, this.#turns, (place) => {
      this.#refuseAfterEnd(place);
    });
    this.#expiresAt = expiresAt;
    this.#givingUp = new GivingUp(definition.label, (reason, late) => {
      if (!late) this.#turns.refuseAll(() => reason);
      if (this.#madeWire === null) return;
      this.database.refuseWaiting(this, reason);
      this.#madeWire.cancel();
    });
    const { outer } = this;
    if (outer !== null) {
      outer.#admit(this);
      this.#givingUp.inherit(outer.#givingUp);
    }
    if (expiresAt !== Infinity) {
      this.#givingUp.limit({ at: expiresAt, milliseconds: definition.timeout ?? 0, label: definition.label });
    }
    if (definition.signal !== undefined) this.#givingUp.listen(definition.signal, definition.label);
  }

  /** Remembers one that runs inside, until that one ends. */
  #admit(inner: PhysicalTransaction): void {
    const running = (this.#inner ??= new Set());
    running.add(inner);
    (inner.#whenEnded ??= []).push(() => running.delete(inner));
  }

  get #wire(): TransactionWire {
    return (this.#madeWire ??= new TransactionWire(
      new TransactionWireHost(this, this.#expiresAt, this.#givingUp, this.#operations),
    ));
  }

  get hooks(): TransactionHooks {
    return (this.#hooks ??= new TransactionHooks());
  }

  /** True where a hook of the kind is registered; makes nothing. */
  hasHooks(name: HookName): boolean {
    return this.#hooks !== null && this.#hooks[name].length > 0;
  }

  get context(): TransactionContext {
    return this.#context;
  }

  get database(): Database {
    return this.#context.database;
  }

  get label(): string {
    return this.definition.label;
  }

  /** The suspended transaction around this one, whose connection waits for ours. */
  get outer(): PhysicalTransaction | null {
    return this.#context.outer?.transaction ?? null;
  }

  /** A declared scope has its timeout; what began by hand or by itself may have been forgotten. */
  get overdue(): (() => string) | null {
    if (this.origin === 'declared') return null;
    const { opener, label } = this.#context;
    return () =>
      `The transaction that ${this.place.toString()} began, in the session ${opener === null ? `of ${label}` : `opened by ${opener.toString()}`},`;
  }

  /** True when BEGIN has been sent and answered. */
  get begun(): boolean {
    return this.#madeWire?.begun === true;
  }

  /** True until it ends, whichever way. */
  get isActive(): boolean {
    return this.#outcome === null;
  }

  /** How it ended; `null` while it has not. */
  get outcome(): TransactionOutcome | null {
    return this.#outcome;
  }

  /** True for BEGIN READ ONLY. */
  get readOnly(): boolean {
    return this.definition.readOnly === true;
  }

  /** The first failure that has not been rolled back: until then everything is refused. */
  get failure(): unknown {
    return this.#givingUp.reason ?? this.#madeWire?.failure ?? null;
  }

  /** Why it was given up: deadline, signal, or ended outside; `null` otherwise. */
  get abortReason(): Error | null {
    return this.#givingUp.reason;
  }

  /** Rejects as soon as the transaction is given up; undefined where nothing could do that. */
  get abortSignal(): AbortSignal | undefined {
    return this.#givingUp.signal;
  }

  /** The innermost open savepoint, or `null`. */
  get savepoint(): Savepoint | null {
    return this.#madeWire?.savepoints.top ?? null;
  }

  /** The backend's process id while a connection is held. */
  get processId(): number | null {
    return this.#madeWire?.connection?.processId ?? null;
  }

  get turns(): Turns {
    return this.#turns;
  }

  /** Milliseconds until the deadline; Infinity without one. */
  get timeLeft(): number {
    return this.#givingUp.timeLeft;
  }

  // ── statements ────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Runs statements under one Sync, BEGIN and SAVEPOINT in front where they are still to be sent.
   * @returns a result for each statement
   * @throws PendingRollbackError after a failure; TransactionClosedError after the end; the typed error for
   * what the server says
   */
  async run(
    statements: readonly Statement[],
    options: {
      /** How messages name it, such as `session.getMany()`. */
      operation?: string;
      /** True for statements that lock or write: the transaction's id is read behind them, for the outcome of COMMIT. */
      readTransactionId?: boolean;
      /** Where the operation was started, if that is known already: to find it out has its price. */
      place?: Place | undefined;
    } = {},
  ): Promise<StatementResult[]> {
    const operation = this.#operations.begin(options.operation ?? 'a statement', options.place);
    try {
      const waiting = operation.takeTurn();
      if (waiting !== undefined) await waiting;
      this.assertNotFailed();
      try {
        return await this.#wire.send(statements, options.readTransactionId === true && !this.readOnly);
      } catch (error) {
        throw this.#translated(error, statements);
      }
    } finally {
      operation.end();
    }
  }

  /**
   * Runs a statement of plain TypeORM code, which expects the driver's own results and errors.
   * @returns the driver's result; the last one for a text of several statements
   * @throws the driver's error
   */
  async runJoined(text: string, values?: readonly unknown[]): Promise<StatementResult> {
    await this.#context.synchronization?.beforeStatement?.(this);
    return this.#operations.run('a query of TypeORM code', () =>
      sendJoined(this.#wire, this.#givingUp, this.readOnly, text, values),
    );
  }

  /**
   * Holds the turn for all of `fn`: statements and nested scopes that start inside it run inside the turn,
   * everything else of the transaction waits.
   */
  exclusive<T>(operation: string, fn: () => Promise<T>): Promise<T> {
    return this.#operations.run(operation, () => this.#operations.runInside(operation, fn));
  }

  #refuseAfterEnd(place: Place): void {
    this.#givingUp.assertNot();
    if (this.#outcome !== null) throw this.closedError(place.toString());
  }

  /** The error for use after the end. */
  closedError(what: string): TransactionClosedError {
    return new TransactionClosedError(
      `${what} came after the end of the transaction of ${this.label} (${this.#outcome ?? 'closing'}). ` +
        `Await all work inside ${this.label}, or run it apart with TransactionManager.detach().`,
    );
  }

  /** @throws PendingRollbackError after a failure that has not been rolled back */
  assertNotFailed(): void {
    this.#givingUp.assertNot();
    const failure = this.#madeWire?.failure ?? null;
    if (failure === null) return;
    throw new PendingRollbackError(
      `The transaction of ${this.label} has failed and takes nothing more until it is rolled back. First failure: ${messageOf(failure)}`,
      { cause: failure },
    );
  }

  /** Work at the present level must not be kept: everything up to the innermost savepoint is lost. */
  noteFailure(error: unknown): void {
    this.#wire.noteFailure(error);
  }

  /** The typed error, which is also what later refusals name as their cause. */
  #translated(error: unknown, statements: readonly Statement[]): unknown {
    const reason = this.#givingUp.behind(error);
    if (reason !== null) return reason;
    if (error instanceof BatchFailure && error.connectionLost) {
      // COMMIT was not sent: whatever the server had of it is rolled back.
      return this.database.connectionLost(error.driverError, true);
    }
    const translated = this.database.translate(error, statements);
    if (error instanceof BatchFailure) this.substituteFailure(error.driverError, translated);
    return translated;
  }

  /** Lets the first failure be known as what its caller saw of it (TypeORM's wrapper of a driver error). */
  substituteFailure(failure: unknown, seen: unknown): void {
    this.#wire.substituteFailure(failure, seen);
  }

  // ── savepoints ────────────────────────────────────────────────────────────────────────────────────────

  /** Opens a savepoint; the caller has flushed what belongs before it. */
  pushSavepoint(place: Place, byHand: boolean): Savepoint {
    const savepoint = this.#wire.savepoints.push(this, place, byHand);
    this.#context.synchronization?.savepointOpened?.(savepoint);
    return savepoint;
  }

  /** Opens a savepoint by hand. */
  async openSavepoint(operation: string): Promise<Savepoint> {
    const place = new Place(operation);
    const frame = frameIn(this);
    if (frame?.completing !== true) frame?.scope?.assertOpen(place);
    this.#refuseAfterEnd(place);
    this.assertNotFailed();
    await this.#context.synchronization?.beforeSavepoint?.(this);
    return this.pushSavepoint(place, true);
  }

  /** Ends a savepoint well. RELEASE travels with whatever is sent next. */
  async releaseSavepoint(savepoint: Savepoint): Promise<void> {
    this.#assertActive(savepoint);
    await this.#context.synchronization?.beforeRelease?.(savepoint);
    this.assertNotFailed();
    for (const one of this.#wire.savepoints.release(savepoint)) {
      this.#context.synchronization?.savepointReleased?.(one);
    }
  }

  /** Rolls back to a savepoint and ends it; memory follows. */
  async rollbackSavepoint(savepoint: Savepoint, cause: unknown = null): Promise<void> {
    this.#assertActive(savepoint);
    const { popped, statements } = this.#wire.savepoints.rollBack(savepoint);
    try {
      if (statements.length > 0 && this.#wire.connection !== null && this.abortReason === null) {
        await this.#operations.run('ROLLBACK TO SAVEPOINT', () => this.#wire.send(statements));
      }
    } catch (error) {
      const translated = this.#translated(error, statements);
      this.#wire.fail(translated);
      throw translated;
    } finally {
      for (const one of popped) this.#context.synchronization?.savepointRolledBack?.(one, cause);
    }
  }

  #assertActive(savepoint: Savepoint): void {
    if (savepoint.isActive && this.#wire.savepoints.has(savepoint)) return;
    throw new TransactionClosedError(
      `The savepoint of ${savepoint.place.toString()} has ended already (${savepoint.state}); it can be neither committed nor rolled back again.`,
    );
  }

  // ── the end ───────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Commits a transaction in which nothing has happened: no statement, no hook, no session that takes part.
   * @returns false where something has, and more is to be done
   */
  endUnused(): boolean {
    const used = this.#madeWire !== null || this.#hooks !== null || this.#context.synchronization !== null;
    if (used || this.#outcome !== null || this.#givingUp.reason !== null) return false;
    this.#end('committed');
    return true;
  }

  /**
   * Sends COMMIT, with the payload in front of it under the same Sync; apart from it where the outcome must be
   * certain, or where subscribers are to be told in between.
   * @returns what failed in memory after the server had committed, if anything
   * @throws TransactionRolledBackError when the server answers ROLLBACK, the typed error when it answers with
   * an error, CommitOutcomeUnknownError when the connection was lost and nothing certain can be found out
   */
  sendCommit(payload: CommitPayload | null): unknown {
    this.assertNotFailed();
    if (!this.begun && (payload === null || payload.statements.length === 0)) {
      this.#madeWire?.giveBackUnused();
      return this.#end('committed');
    }
    const committing = new Committing(
      this,
      this.#wire,
      this.#givingUp,
      this.#operations,
      (error, sent) => this.#translated(error, sent),
      (outcome, cause) => this.#end(outcome, cause),
    );
    return exchangeCommit(committing, payload);
  }

  /**
   * Sends ROLLBACK if there is anything to roll back, and ends the transaction in any case.
   * @returns the error that kept ROLLBACK from being answered, if any; the connection is destroyed then
   */
  async sendRollback(cause: unknown): Promise<unknown> {
    if (this.#outcome !== null) return undefined;
    if (this.abortReason !== null) await this.#innerEnded();
    const failed = await this.#wire.rollback();
    await this.#committingEnded();
    // A COMMIT that was on its way has had its answer.
    if (!this.isActive) return failed;
    const afterwards = this.#end(this.#wire.endedOutside ? 'unknown' : 'rolledBack', cause);
    return failed ?? afterwards;
  }

  /** What was given up with this transaction rolls back before it does. */
  async #innerEnded(): Promise<void> {
    const declared = [...(this.#inner ?? [])].filter((one) => one.origin === 'declared');
    await Promise.all(declared.map((one) => new Promise<void>((resolve) => (one.#whenEnded ??= []).push(resolve))));
  }

  /** Whether a lost COMMIT went well may have to be found out first. */
  async #committingEnded(): Promise<void> {
    if (!this.#givingUp.isCommitting || !this.#turns.busy) return;
    const turn = this.#turns.take(this.#turns.root, new Place('ROLLBACK', false), true);
    // Refused where the transaction has ended meanwhile.
    await turn?.catch(() => undefined);
  }

  #tellEnded(waiting: readonly (() => void)[]): void {
    this.#whenEnded = null;
    for (const tell of waiting) tell();
  }

  /** @returns what memory's bookkeeping threw, if anything: the transaction has ended all the same */
  #end(outcome: TransactionOutcome, cause: unknown = null): unknown {
    this.#outcome = outcome;
    this.#givingUp.stop();
    this.#madeWire?.savepoints.clear();
    this.#turns.refuseAll((place) => this.abortReason ?? this.closedError(place.toString()));
    this.#context.transactionEnded(this);
    if (this.#whenEnded !== null) this.#tellEnded(this.#whenEnded);
    try {
      const { synchronization } = this.#context;
      if (outcome === 'committed') synchronization?.committed?.(this);
      else synchronization?.rolledBack?.(this, cause);
      return undefined;
    } catch (error) {
      return error ?? new Error('The bookkeeping of memory failed');
    }
  }

  // ── giving up ─────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Lets a nested scope's own limits hold for as long as it runs; the transaction's stay.
   * @returns ends that
   */
  limitFor(definition: TransactionDefinition): (() => void) | undefined {
    const { timeout, signal, label } = definition;
    if (timeout === undefined && signal === undefined) return undefined;
    const undo: (() => void)[] = [];
    if (timeout !== undefined) {
      undo.push(this.#givingUp.limit({ at: performance.now() + timeout, milliseconds: timeout, label }));
    }
    if (signal !== undefined) undo.push(this.#givingUp.listen(signal, label));
    return () => {
      for (const one of undo) one();
    };
  }

  /** Gives the transaction up: the running statement is cancelled on the server, everything waiting is refused. */
  abort(reason: Error, urgency: Urgency = 'wish'): void {
    if (this.#outcome === null) this.#givingUp.giveUp(reason, urgency);
  }

  /** Forgets a transaction that was never opened in its context. */
  abandon(): void {
    this.#outcome = 'rolledBack';
    this.#givingUp.stop();
    if (this.#whenEnded !== null) this.#tellEnded(this.#whenEnded);
  }

  /** Refuses a write in a read-only transaction or scope. */
  assertWritable(operation: string): void {
    const scope = frameIn(this)?.scope ?? null;
    if (!this.readOnly && scope?.readOnly !== true) return;
    throw new ReadOnlyTransactionError(
      `${operation} in ${scope?.label ?? this.label}, which is read-only. Leave readOnly out, or do the writing in another scope.`,
    );
  }

  /** True when an operation of the running code would have its turn at once. */
  get isFree(): boolean {
    return this.isActive && !this.#turns.busy && this.#turns.top === this.levelHere();
  }

  /** The level at which the running code takes its turns. */
  levelHere(): TurnLevel {
    return frameIn(this)?.level ?? this.#turns.root;
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
