import { BatchFailure } from '../database/batch.js';
import type { DatabaseConnection } from '../database/database-connection.js';
import type { ConnectionHolder, Database } from '../database/database.js';
import { isRetryable, isServerError } from '../database/postgres-error.js';
import type { Statement, StatementResult } from '../database/statement.js';
import {
  CommitOutcomeUnknownError,
  PendingRollbackError,
  ReadOnlyTransactionError,
  TransactionClosedError,
  TransactionEndedOutsideError,
  TransactionRolledBackError,
  TransactionTimedOutError,
} from '../errors/transaction-errors.js';
import { frameIn, runDetached, runInFrame, currentFrame } from './ambient.js';
import type { Frame } from './ambient.js';
import { CommitOutcome, TRANSACTION_ID } from './commit-outcome.js';
import { Place } from './place.js';
import { watchForSelfDeadlock } from './self-deadlock.js';
import type { TransactionContext } from './transaction-context.js';
import { beginStatement, localsStatement } from './transaction-definition.js';
import type { TransactionDefinition } from './transaction-definition.js';
import { TransactionHooks } from './transaction-hooks.js';
import type { CommitPayload } from './transaction-synchronization.js';
import { Turns } from './turns.js';
import type { TurnLevel } from './turns.js';

/**
 * One BEGIN … COMMIT on one connection. BEGIN is lazy: it travels with the first statement, under one Sync,
 * so that a BEGIN that fails lets nothing run in autocommit. The transaction knows whether it failed, where
 * its savepoints are, whose turn it is, and what became of its COMMIT.
 */

export type TransactionOutcome = 'committed' | 'rolledBack' | 'unknown';

/** A savepoint, declared (NESTED) or by hand. SAVEPOINT travels with the first statement after it. */
export class Savepoint {
  state: 'pending' | 'open' | 'released' | 'rolledBack' = 'pending';
  /** The first failure since it opened; until ROLLBACK TO, everything is refused. */
  failure: unknown = null;

  constructor(
    readonly transaction: PhysicalTransaction,
    /** Its name in SQL. */
    readonly name: string,
    readonly place: Place,
    /** Whatever the owner wants to find again, such as a snapshot of memory. */
    readonly byHand: boolean,
  ) {}

  /** True until it is released or rolled back. */
  get isActive(): boolean {
    return (this.state === 'pending' || this.state === 'open') && this.transaction.isActive;
  }
}

type Control =
  { readonly kind: 'savepoint'; readonly savepoint: Savepoint } | { readonly kind: 'release'; readonly name: string };

const ROLLBACK_TO = /^\s*ROLLBACK\s+(?:(?:WORK|TRANSACTION)\s+)?TO\b/i;
const WRITES = /^\s*(?:INSERT|UPDATE|DELETE|MERGE|WITH|CALL|DO|COPY|TRUNCATE)\b/i;
/** How long a cancelled statement may take to answer before its socket is closed, in milliseconds. */
const CANCEL_GRACE = 2_000;
const TRANSACTION_TIMEOUT_SINCE = 170_000;

let transactions = 0;

export class PhysicalTransaction implements ConnectionHolder {
  readonly id: number;
  readonly hooks = new TransactionHooks();
  readonly #context: TransactionContext;
  readonly #turns: Turns;
  #committing = false;
  #connection: DatabaseConnection | null = null;
  #begun = false;
  #outcome: TransactionOutcome | null = null;
  #failure: unknown = null;
  #abort: Error | null = null;
  #abortController: AbortController | null = null;
  #savepoints: Savepoint[] = [];
  #controls: Control[] = [];
  #commitOutcome: CommitOutcome | null = null;
  #idle: (() => void) | null = null;
  #deadlineTimer: NodeJS.Timeout | undefined;
  #signal: AbortSignal | undefined;
  #onSignal: (() => void) | undefined;
  /** `performance.now()` at which the deadline passes. */
  #expiresAt = Infinity;

  constructor(
    context: TransactionContext,
    /** What was asked for. */
    readonly definition: TransactionDefinition,
    /** Who opened it: a declared scope, `begin()`, or a session's first write. */
    readonly origin: 'declared' | 'begin' | 'autobegin',
    readonly place: Place,
  ) {
    transactions += 1;
    this.id = transactions;
    this.#context = context;
    this.#turns = new Turns(place, context.database.options.stallAfter);
    if (definition.timeout !== undefined) this.expireIn(definition.timeout, definition.label);
    if (definition.signal !== undefined) this.#listen(definition.signal);
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
  get outer(): ConnectionHolder | null {
    return this.#context.outer?.transaction ?? null;
  }

  /** True when BEGIN has been sent and answered. */
  get begun(): boolean {
    return this.#begun;
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
    return this.#abort ?? this.#failure ?? this.#savepoints.find((one) => one.failure)?.failure ?? null;
  }

  /** Why it was given up: deadline, signal, or ended outside; `null` otherwise. */
  get abortReason(): Error | null {
    return this.#abort;
  }

  /** Rejects as soon as the transaction is given up. */
  get abortSignal(): AbortSignal | undefined {
    return this.#abortController?.signal;
  }

  /** The innermost open savepoint, or `null`. */
  get savepoint(): Savepoint | null {
    return this.#savepoints.at(-1) ?? null;
  }

  /** The backend's process id while a connection is held. */
  get processId(): number | null {
    return this.#connection?.processId ?? null;
  }

  get turns(): Turns {
    return this.#turns;
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
    } = {},
  ): Promise<StatementResult[]> {
    return this.#operate(options.operation ?? 'a statement', async () => {
      this.refuseAfterFailure();
      try {
        if (options.readTransactionId !== true || this.transactionIdKnown || this.readOnly) {
          return await this.#send(statements);
        }
        const results = await this.#send([...statements, TRANSACTION_ID]);
        this.noteTransactionId(firstValue(results.pop()));
        return results;
      } catch (error) {
        throw this.#translated(error, statements);
      }
    });
  }

  /**
   * Runs a statement of plain TypeORM code, which expects the driver's own results and errors.
   * @returns the driver's result; the last one for a text of several statements
   * @throws the driver's error
   */
  async runJoined(text: string, values?: readonly unknown[]): Promise<StatementResult> {
    await this.#context.synchronization?.beforeStatement?.(this);
    return this.#operate('a query of TypeORM code', async () => {
      const { failure } = this;
      if (failure !== null && (this.#abort !== null || !ROLLBACK_TO.test(text))) {
        throw driverRefusal(failure);
      }
      try {
        if ((values === undefined || values.length === 0) && isScript(text)) {
          return await this.#sendScript(text);
        }
        const statements = [{ text, values }];
        const askId = !this.#commitOutcome && WRITES.test(text) && failure === null && !this.readOnly;
        const results = await this.#send(askId ? [...statements, TRANSACTION_ID] : statements);
        if (askId) this.noteTransactionId(firstValue(results[1]));
        if (failure !== null && this.#connection?.status === 'T') this.#forgiveTop();
        return results[0] as StatementResult;
      } catch (error) {
        if (this.#abort !== null) throw driverRefusal(this.#abort);
        throw error instanceof BatchFailure ? error.driverError : error;
      }
    });
  }

  /** Hands a custom query of the driver (a cursor, COPY) to the connection, in its turn until `done` settles. */
  async submitJoined(submit: (connection: DatabaseConnection) => Promise<void>): Promise<void> {
    await this.#operate('a stream of TypeORM code', async () => {
      this.refuseAfterFailure();
      await this.#send([{ text: 'SELECT', prepare: false }]);
      await submit(this.#connection as DatabaseConnection);
    });
  }

  /**
   * Holds the turn for all of `fn`: statements and nested scopes that start inside it run inside the turn,
   * everything else of the transaction waits.
   */
  async exclusive<T>(operation: string, fn: () => Promise<T>): Promise<T> {
    return this.#operate(
      operation,
      async (frame, place) => {
        const level = this.#turns.open(frame?.level ?? this.#turns.root, place);
        const inside: Frame = {
          parent: currentFrame() ?? null,
          owner: frame?.owner ?? this.#context.owner,
          scope: frame?.scope ?? null,
          transaction: this,
          level,
          completing: true,
          contextOf: (database) => (database === this.database ? this.#context : null),
        };
        try {
          return await runInFrame(inside, fn);
        } finally {
          this.#turns.close(level);
        }
      },
      true,
    );
  }

  /** One operation: its scope must be open, its turn must come, and it counts as in flight meanwhile. */
  async #operate<T>(
    operation: string,
    work: (frame: Frame | null, place: Place) => Promise<T>,
    passesTurnOn = false,
  ): Promise<T> {
    const frame = frameIn(this);
    const scope = frame?.scope ?? null;
    const place = new Place(operation);
    if (scope !== null && frame?.completing !== true) scope.enter(place);
    else this.#refuseAfterEnd(place);
    try {
      const waiting = this.#turns.take(frame?.level ?? this.#turns.root, place);
      if (waiting !== undefined) await waiting;
      let gaveTurn = false;
      try {
        this.#refuseAfterEnd(place);
        gaveTurn = passesTurnOn;
        return await work(frame, place);
      } finally {
        if (!gaveTurn) this.#turns.give();
        this.#idle?.();
      }
    } finally {
      if (scope !== null && frame?.completing !== true) scope.leave(place);
    }
  }

  #refuseAfterEnd(place: Place): void {
    if (this.#abort !== null) throw this.#abort;
    if (this.#outcome !== null) throw this.closedError(place.toString());
  }

  /** The error for use after the end. */
  closedError(what: string): TransactionClosedError {
    return new TransactionClosedError(
      `${what} came after the end of the transaction of ${this.label} (${this.#outcome ?? 'closing'}). ` +
        `Await all work inside ${this.label}, or run it apart with TransactionManager.detach().`,
    );
  }

  /** @throws PendingRollbackError after a failure that has not been rolled back, or why it was given up */
  refuseAfterFailure(): void {
    const { failure } = this;
    if (failure === null) return;
    if (this.#abort !== null) throw this.#abort;
    throw new PendingRollbackError(
      `The transaction of ${this.label} has failed and takes nothing more until it is rolled back. First failure: ${messageOf(failure)}`,
      { cause: failure },
    );
  }

  async #send(statements: readonly Statement[]): Promise<StatementResult[]> {
    const connection = (this.#connection ??= await this.#acquire());
    const { observer } = this.#context;
    const beginning = !this.#begun && observer !== null;
    if (beginning) await observer.beforeBegin?.(this);
    const controls = this.#controls;
    const prelude = this.#prelude();
    const sent = prelude.length === 0 ? statements : [...prelude, ...statements];
    const stopWatching = watchForSelfDeadlock(this, connection, this.#context.outer);
    let results: StatementResult[];
    try {
      results = await connection.run(sent);
    } catch (error) {
      throw this.#sendFailed(error, prelude.length, controls);
    } finally {
      stopWatching?.();
    }
    this.#preludeAnswered(prelude.length, controls, controls.length);
    const own = prelude.length === 0 ? results : results.slice(prelude.length);
    this.#checkStillInside(statements, own);
    if (beginning) await observer.afterBegin?.(this);
    return own;
  }

  async #sendScript(text: string): Promise<StatementResult> {
    const connection = (this.#connection ??= await this.#acquire());
    const controls = this.#controls;
    const prelude = this.#prelude();
    // The simple protocol has no parameters: settings that carry values go in front by themselves, inside the
    // transaction that their BEGIN opened; a script behind a failed BEGIN is not sent at all.
    if (prelude.length > 0) await this.#send([]);
    let results: StatementResult[];
    try {
      results = await connection.script(text);
    } catch (error) {
      throw this.#sendFailed(error, 0, controls);
    }
    this.#checkStillInside(
      results.map(() => ({ text })),
      results,
    );
    return results.at(-1) as StatementResult;
  }

  #acquire(): Promise<DatabaseConnection> {
    // Outside every frame: a socket opened here must not keep a request alive.
    return runDetached(() => this.database.acquire(this, { signal: this.#abortController?.signal }));
  }

  #prelude(): Statement[] {
    if (this.#begun && this.#controls.length === 0) return [];
    const prelude: Statement[] = [];
    if (!this.#begun) {
      const { definition, database } = this;
      prelude.push(
        beginStatement({
          isolation: definition.isolation,
          readOnly: definition.readOnly,
          deferrable: definition.deferrable,
        }),
      );
      const settings: Record<string, string> = {};
      if (this.#expiresAt !== Infinity) {
        const left = String(Math.max(1, Math.ceil(this.#expiresAt - performance.now())));
        settings[database.serverVersion >= TRANSACTION_TIMEOUT_SINCE ? 'transaction_timeout' : 'statement_timeout'] =
          left;
      }
      Object.assign(settings, definition.locals);
      if (Object.keys(settings).length > 0) prelude.push(localsStatement(settings));
    }
    for (const control of this.#controls) {
      prelude.push({
        text:
          control.kind === 'savepoint' ? `SAVEPOINT ${control.savepoint.name}` : `RELEASE SAVEPOINT ${control.name}`,
      });
    }
    return prelude;
  }

  /** Notes what the server has executed of a prelude. */
  #preludeAnswered(executed: number, controls: readonly Control[], controlsExecuted: number): void {
    if (executed === 0) return;
    for (const control of controls.slice(0, controlsExecuted)) {
      if (control.kind === 'savepoint' && control.savepoint.state === 'pending') {
        control.savepoint.state = 'open';
      }
    }
    this.#controls = this.#controls.filter((one) => !controls.slice(0, controlsExecuted).includes(one));
    if (!this.#begun) {
      this.#begun = true;
      this.#context.synchronization?.begun?.(this);
    }
  }

  #sendFailed(error: unknown, preludeLength: number, controls: readonly Control[]): unknown {
    // Not sent: a value could not be encoded. The transaction is as it was.
    if (!(error instanceof BatchFailure)) return error;
    if (error.connectionLost) {
      this.#loseConnection(error.driverError);
      return error;
    }
    const beginLength = preludeLength - controls.length;
    if (!this.#begun && error.index === 0 && preludeLength > 0) {
      // BEGIN itself failed: nothing is open on the connection, and nothing ran.
      this.#connection?.destroy(error.driverError);
      this.#connection = null;
      this.#failure = error.driverError;
    } else {
      const executed = Math.min(error.index, preludeLength);
      if (executed > 0) {
        this.#preludeAnswered(executed, controls, Math.max(0, executed - beginLength));
      }
      if (isServerError(error.driverError)) this.noteFailure(error.driverError);
    }
    return error.index < preludeLength
      ? new BatchFailure(0, error.driverError, [], false)
      : new BatchFailure(error.index - preludeLength, error.driverError, [], false);
  }

  /** A statement failed on the server: everything up to the innermost savepoint is lost. */
  noteFailure(error: unknown): void {
    const top = this.#savepoints.at(-1);
    if (isRetryable(error) || top === undefined) this.#failure ??= error;
    else top.failure ??= error;
  }

  /** The typed error, which is also what later refusals name as their cause. */
  #translated(error: unknown, statements: readonly Statement[]): unknown {
    if (this.#abort !== null) return this.#abort;
    const translated = this.database.translate(error, statements);
    if (error instanceof BatchFailure) this.substituteFailure(error.driverError, translated);
    return translated;
  }

  /** Lets the first failure be known as what its caller saw of it (TypeORM's wrapper of a driver error). */
  substituteFailure(failure: unknown, seen: unknown): void {
    if (this.#failure === failure) this.#failure = seen;
    for (const one of this.#savepoints) if (one.failure === failure) one.failure = seen;
  }

  #forgiveTop(): void {
    const top = this.#savepoints.at(-1);
    if (top === undefined) this.#failure = null;
    else top.failure = null;
  }

  #loseConnection(reason: Error): void {
    this.#connection?.destroy(reason);
    this.#connection = null;
    const code = (reason as { code?: string }).code;
    this.#failure ??= code === '25P04' ? this.#timedOut(reason) : this.database.connectionLost(reason);
    if (code === '25P04') this.#abort ??= this.#failure as Error;
  }

  /** Somebody sent COMMIT or ROLLBACK as SQL: found by the tags, and by the status that the server reports. */
  #checkStillInside(statements: readonly Statement[], results: readonly StatementResult[]): void {
    const ended =
      this.#connection?.status === 'I' ||
      results.some(
        ({ command }, index) =>
          command === 'COMMIT' || (command === 'ROLLBACK' && !/\bTO\b/i.test(statements[index]?.text ?? '')),
      );
    if (!ended) return;
    const error = new TransactionEndedOutsideError(
      `The transaction of ${this.label} was ended by SQL that was sent inside it (COMMIT or ROLLBACK). What of its work is stored is not known here. ` +
        `Leave the end of the transaction to ${this.label}, or use a query runner of your own (dataSource.createQueryRunner()).`,
    );
    this.#connection?.destroy(error);
    this.#connection = null;
    this.#abort = error;
    throw error;
  }

  // ── savepoints ────────────────────────────────────────────────────────────────────────────────────────

  /** Opens a savepoint; the caller has flushed what belongs before it. */
  pushSavepoint(place: Place, byHand: boolean): Savepoint {
    const savepoint = new Savepoint(this, `uow_${this.#savepoints.length + 1}`, place, byHand);
    this.#savepoints.push(savepoint);
    this.#controls.push({ kind: 'savepoint', savepoint });
    this.#context.synchronization?.savepointOpened?.(savepoint);
    return savepoint;
  }

  /** Opens a savepoint by hand. */
  async openSavepoint(operation: string): Promise<Savepoint> {
    const place = new Place(operation);
    frameIn(this)?.scope?.assertOpen(place);
    this.#refuseAfterEnd(place);
    this.refuseAfterFailure();
    await this.#context.synchronization?.beforeSavepoint?.(this);
    return this.pushSavepoint(place, true);
  }

  /** Ends a savepoint well. RELEASE travels with whatever is sent next. */
  async releaseSavepoint(savepoint: Savepoint): Promise<void> {
    this.#assertActive(savepoint);
    await this.#context.synchronization?.beforeRelease?.(savepoint);
    this.refuseAfterFailure();
    for (const one of this.#popTo(savepoint)) {
      one.state = 'released';
      this.#dropOrRelease(one);
      this.#context.synchronization?.savepointReleased?.(one);
    }
  }

  #dropOrRelease(savepoint: Savepoint): void {
    const pending = this.#controls.findIndex((one) => one.kind === 'savepoint' && one.savepoint === savepoint);
    if (pending !== -1) this.#controls.splice(pending, 1);
    else this.#controls.push({ kind: 'release', name: savepoint.name });
  }

  /** Rolls back to a savepoint and ends it; memory follows. */
  async rollbackSavepoint(savepoint: Savepoint, cause: unknown = null): Promise<void> {
    this.#assertActive(savepoint);
    const sent = savepoint.state === 'open';
    const popped = this.#popTo(savepoint);
    for (const one of popped) one.state = 'rolledBack';
    this.#controls = this.#controls.filter((one) => one.kind === 'release' || !popped.includes(one.savepoint));
    try {
      if (sent && this.#connection !== null && this.#abort === null) {
        await this.#operate('ROLLBACK TO SAVEPOINT', async () => {
          // Releases of savepoints inside the one that is rolled back have nothing left to release.
          this.#controls = [];
          await this.#send([
            { text: `ROLLBACK TO SAVEPOINT ${savepoint.name}` },
            { text: `RELEASE SAVEPOINT ${savepoint.name}` },
          ]);
        });
      }
    } catch (error) {
      this.#failure ??= error instanceof BatchFailure ? error.driverError : error;
      throw this.database.translate(error, [{ text: `ROLLBACK TO SAVEPOINT ${savepoint.name}` }]);
    } finally {
      for (const one of popped) this.#context.synchronization?.savepointRolledBack?.(one, cause);
    }
  }

  #assertActive(savepoint: Savepoint): void {
    if (savepoint.isActive && this.#savepoints.includes(savepoint)) return;
    throw new TransactionClosedError(
      `The savepoint of ${savepoint.place.toString()} has ended already (${savepoint.state}); it can be neither committed nor rolled back again.`,
    );
  }

  /** Takes the savepoint and those inside it off the stack, innermost first. */
  #popTo(savepoint: Savepoint): Savepoint[] {
    return this.#savepoints.splice(this.#savepoints.indexOf(savepoint)).reverse();
  }

  // ── the end ───────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Sends COMMIT, with the payload in front of it under the same Sync.
   * @throws TransactionRolledBackError when the server answers ROLLBACK, the typed error when it answers with
   * an error, CommitOutcomeUnknownError when the connection was lost and nothing certain can be found out
   */
  async sendCommit(payload: CommitPayload | null): Promise<void> {
    const statements = payload?.statements ?? [];
    if (!this.#begun && statements.length === 0) {
      this.#connection?.release();
      this.#connection = null;
      this.#end('committed');
      return;
    }
    this.refuseAfterFailure();
    if (this.#connection === null) {
      try {
        this.#connection = await this.#acquire();
      } catch (error) {
        throw this.#abort ?? error;
      }
    }
    const connection = this.#connection;
    const controls = this.#controls;
    const prelude = this.#prelude();
    const sent = [...prelude, ...statements, { text: 'COMMIT' }];
    let results: StatementResult[];
    try {
      results = await connection.run(sent);
    } catch (error) {
      if (error instanceof BatchFailure && error.connectionLost) {
        return this.#commitLost(error, payload);
      }
      if (error instanceof BatchFailure && error.index === sent.length - 1) {
        // COMMIT itself was refused (deferred constraint, serialization): a known abort.
        this.#begun = true;
        this.#failure ??= error.driverError;
        throw this.#translated(new BatchFailure(0, error.driverError, [], false), [{ text: 'COMMIT' }]);
      }
      throw this.#translated(this.#sendFailed(error, prelude.length, controls), statements);
    }
    this.#preludeAnswered(prelude.length, controls, controls.length);
    if (results.at(-1)?.command !== 'COMMIT' || connection.status !== 'I') {
      this.#failure ??= new TransactionRolledBackError(
        `The server answered the COMMIT of ${this.label} with ROLLBACK: a statement inside had failed and its error was swallowed.`,
      );
      throw this.#failure;
    }
    if (payload !== null) {
      payload.settle(results.slice(prelude.length, prelude.length + statements.length));
    }
    this.#releaseConnection();
    this.#end('committed');
  }

  async #commitLost(failure: BatchFailure, payload: CommitPayload | null): Promise<void> {
    this.#connection?.destroy(failure.driverError);
    this.#connection = null;
    if (this.readOnly) {
      // What wrote nothing has no outcome to lose.
      this.#end('committed');
      return;
    }
    const verdict = (await this.#commitOutcome?.find()) ?? 'unknown';
    if (verdict === 'committed' && (payload === null || payload.statements.length === 0)) {
      this.#end('committed');
      return;
    }
    if (verdict === 'aborted') {
      this.#failure = this.database.connectionLost(failure.driverError, true);
      throw this.#failure;
    }
    this.#failure = failure.driverError;
    this.#end('unknown', failure.driverError);
    throw new CommitOutcomeUnknownError(
      `The connection of ${this.label} was lost while COMMIT was in flight (${failure.driverError.message}), and whether it was committed cannot be told for certain. ` +
        `Look at the data before doing it again.`,
      { cause: failure.driverError },
    );
  }

  /** The id under which the server knows the transaction, read behind its first write or lock. */
  noteTransactionId(id: string | null | undefined): void {
    if (id == null) return;
    this.#commitOutcome ??= new CommitOutcome(this.database, id);
  }

  /** True once the transaction id is known, so that it need not be asked for again. */
  get transactionIdKnown(): boolean {
    return this.#commitOutcome !== null;
  }

  /**
   * Sends ROLLBACK if there is anything to roll back, and ends the transaction in any case.
   * @returns the error that kept ROLLBACK from being answered, if any; the connection is destroyed then
   */
  async sendRollback(cause: unknown): Promise<unknown> {
    if (this.#outcome !== null) return undefined;
    let failed: unknown;
    const connection = this.#connection;
    if (connection !== null) {
      if (connection.busy) await this.#untilAnswered(connection);
      if (connection.lost === null && connection.status !== 'I' && !connection.busy) {
        try {
          await connection.run([...this.#releases(), { text: 'ROLLBACK' }]);
        } catch (error) {
          failed = error instanceof BatchFailure ? error.driverError : error;
          connection.destroy(failed as Error);
        }
      }
      this.#releaseConnection();
    }
    this.#end('rolledBack', cause);
    return failed;
  }

  /** In a failed transaction RELEASE would be refused, and with it the ROLLBACK behind it. */
  #releases(): Statement[] {
    if (this.#connection?.status !== 'T') return [];
    return this.#controls.flatMap((one) => (one.kind === 'release' ? [{ text: `RELEASE SAVEPOINT ${one.name}` }] : []));
  }

  #untilAnswered(connection: DatabaseConnection): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        connection.destroy(new Error('The server did not answer a cancel request'));
        done();
      }, CANCEL_GRACE);
      const done = (): void => {
        clearTimeout(timer);
        this.#idle = null;
        resolve();
      };
      this.#idle = done;
    });
  }

  #releaseConnection(): void {
    this.#connection?.release();
    this.#connection = null;
  }

  #end(outcome: TransactionOutcome, cause: unknown = null): void {
    this.#outcome = outcome;
    this.#finish();
    if (outcome === 'committed') this.#context.synchronization?.committed?.(this);
    else this.#context.synchronization?.rolledBack?.(this, cause);
  }

  #finish(): void {
    clearTimeout(this.#deadlineTimer);
    if (this.#onSignal !== undefined) this.#signal?.removeEventListener('abort', this.#onSignal);
    for (const one of this.#savepoints) one.state = 'rolledBack';
    this.#savepoints = [];
    this.#turns.refuseAll((place) => this.#abort ?? this.closedError(place.toString()));
    this.#context.transactionEnded(this);
  }

  // ── deadline and cancellation ─────────────────────────────────────────────────────────────────────────

  /** Sets a deadline; an earlier one stays. */
  expireIn(milliseconds: number, label: string): void {
    const at = performance.now() + milliseconds;
    if (at >= this.#expiresAt) return;
    this.#expiresAt = at;
    this.#abortController ??= new AbortController();
    clearTimeout(this.#deadlineTimer);
    this.#deadlineTimer = setTimeout(() => {
      this.abort(this.#timedOut(undefined, milliseconds, label));
    }, milliseconds);
  }

  #timedOut(cause: unknown, milliseconds = this.definition.timeout, label = this.label): Error {
    return new TransactionTimedOutError(
      `The transaction of ${this.label} ran longer than the ${String(milliseconds)} ms that ${label} allows and is rolled back. ` +
        `Do less in it, or raise its timeout.`,
      cause === undefined ? undefined : { cause },
    );
  }

  /** Milliseconds until the deadline; Infinity without one. */
  get timeLeft(): number {
    return this.#expiresAt - performance.now();
  }

  #listen(signal: AbortSignal): void {
    this.#abortController ??= new AbortController();
    this.#signal = signal;
    this.#onSignal = () => {
      this.abort(this.#context.cancelled(this.label, signal.reason));
    };
    if (signal.aborted) this.#onSignal();
    else signal.addEventListener('abort', this.#onSignal, { once: true });
  }

  /** Gives the transaction up: the running statement is cancelled on the server, everything waiting is refused. */
  abort(reason: Error): void {
    if (this.#abort !== null || this.#outcome !== null || this.#committing) return;
    this.#abort = reason;
    this.#turns.refuseAll(() => reason);
    if (this.#connection?.busy === true) void this.#connection.cancel();
    this.#abortController?.abort(reason);
  }

  /** From here on COMMIT is on its way: an abort would come too late. */
  startCommitting(): void {
    this.#committing = true;
  }

  /** Refuses a write in a read-only transaction or scope. */
  assertWritable(operation: string): void {
    const scope = frameIn(this)?.scope ?? null;
    if (!this.readOnly && scope?.readOnly !== true) return;
    throw new ReadOnlyTransactionError(
      `${operation} in ${scope?.label ?? this.label}, which is read-only. Leave readOnly out, or do the writing in another scope.`,
    );
  }

  /** The level at which the running code takes its turns. */
  levelHere(): TurnLevel {
    return frameIn(this)?.level ?? this.#turns.root;
  }
}

const firstValue = (result: StatementResult | undefined): string | null =>
  (result?.rows as (string | null)[][] | undefined)?.[0]?.[0] ?? null;

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** What PostgreSQL would say (25P02), with the first failure as its cause. */
function driverRefusal(failure: unknown): Error {
  if (failure instanceof TransactionClosedError) return failure;
  const error = new Error(
    `current transaction is aborted, commands ignored until end of transaction block; first failure: ${messageOf(failure)}`,
  );
  return Object.assign(error, { code: '25P02', severity: 'ERROR', cause: failure });
}

/** True for a text of more than one statement, which only the simple protocol takes. */
function isScript(text: string): boolean {
  const end = text.indexOf(';');
  return end !== -1 && /\S/.test(text.slice(end + 1));
}
