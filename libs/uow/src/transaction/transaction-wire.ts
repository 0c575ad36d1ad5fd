import { BatchFailure } from '../database/batch.js';
import type { DatabaseConnection } from '../database/database-connection.js';
import type { Database } from '../database/database.js';
import { isServerError, sqlStateOf } from '../database/postgres-error.js';
import type { Statement, StatementResult } from '../database/statement.js';
import { TransactionEndedOutsideError } from '../errors/transaction-errors.js';
import { commitMarker, mayWrite, outcomeOf, questionForId } from './commit-outcome.js';
import type { CommitOutcome, CommitVerdict } from './commit-outcome.js';
import { SavepointStack } from './savepoint-stack.js';

/**
 * One transaction as the server sees it: its connection, taken with the first statement; BEGIN and SAVEPOINT in
 * front of what needs them, under the same Sync; what failed; and whether it is still this very transaction. It
 * knows no scopes and no turns: whoever calls has the turn.
 */

/** What a wire needs of the transaction that it belongs to. */
export interface WireHost {
  readonly label: string;
  readonly database: Database;
  /** BEGIN, and the settings that go with it. */
  opening(): readonly Statement[];
  acquire(): Promise<DatabaseConnection>;
  /** @throws why the transaction was given up, where it was */
  assertNotGivenUp(): void;
  /** The error for what comes after the end. */
  closedError(): Error;
  /** Those who want to be told around BEGIN; undefined where nobody does. */
  beforeBegin(): Promise<void> | undefined;
  afterBegin(): Promise<void> | undefined;
  /** The server has answered BEGIN. */
  onBegun(): void;
  /** The connection is gone, or (`endedOutside`) no longer inside this transaction. */
  onLost(reason: Error, endedOutside: boolean): void;
  /** Called around each exchange; returns what ends the watch. */
  watch(connection: DatabaseConnection): (() => void) | undefined;
}

/** How long a cancelled statement may take to answer before its socket is closed, in milliseconds. */
const CANCEL_GRACE = 2_000;
const COMMIT: Statement = { text: 'COMMIT', rowMode: 'array' };
const DOOMS_THE_TRANSACTION = new Set(['40001', '40P01']);

export class TransactionWire {
  readonly savepoints = new SavepointStack();
  readonly #host: WireHost;
  #connection: DatabaseConnection | null = null;
  #begun = false;
  #failure: unknown = null;
  #outcome: CommitOutcome | null = null;
  #wrote = false;
  #beginning = false;
  #endedOutside = false;
  #over = false;
  #whenAnswered: (() => void) | null = null;

  constructor(host: WireHost) {
    this.#host = host;
  }

  /** True when BEGIN has been sent and answered. */
  get begun(): boolean {
    return this.#begun;
  }

  /** The first failure that has not been rolled back. */
  get failure(): unknown {
    return this.#failure ?? this.savepoints.failure;
  }

  get connection(): DatabaseConnection | null {
    return this.#connection;
  }

  /** True when SQL of the application ended it: what is stored is not known here. */
  get endedOutside(): boolean {
    return this.#endedOutside;
  }

  /** Marks the transaction itself, whatever savepoints are open. */
  fail(error: unknown): void {
    this.#failure ??= error;
  }

  /** Work at the present level must not be kept: everything up to the innermost savepoint is lost. */
  noteFailure(error: unknown): void {
    if (dooms(error) || !this.savepoints.noteFailure(error)) this.#failure ??= error;
  }

  #noteServerFailure(error: unknown): void {
    if (dooms(error) || !this.savepoints.noteServerFailure(error)) this.#failure ??= error;
  }

  /** Lets the first failure be known as what its caller saw of it (TypeORM's wrapper of a driver error). */
  substituteFailure(failure: unknown, seen: unknown): void {
    if (this.#failure === failure) this.#failure = seen;
    this.savepoints.substitute(failure, seen);
  }

  // ── statements ────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Sends statements under one Sync, BEGIN and SAVEPOINT in front where they are still to be sent.
   * @param readTransactionId true to read the transaction's id behind them, for the outcome of COMMIT
   * @returns a result for each
   * @throws BatchFailure, its index counted in `statements`; what the conversion of a value throws
   */
  async send(statements: readonly Statement[], readTransactionId = false): Promise<StatementResult[]> {
    const connection = this.#connection ?? this.#connected(await this.#host.acquire());
    const tells = !this.#begun && !this.#beginning;
    if (tells) {
      this.#beginning = true;
      const telling = this.#host.beforeBegin();
      if (telling !== undefined) await telling;
    }
    this.#assertNotOver();
    const readId = readTransactionId && this.#outcome === null;
    const opening = this.#begun ? [] : this.#host.opening();
    const controls = this.savepoints.unsent();
    const before = opening.length + controls.length;
    const sent =
      before === 0 && !readId
        ? statements
        : [...opening, ...controls, ...statements, ...(readId ? [questionForId(connection)] : [])];
    this.#noteWrites(statements);
    let results: StatementResult[];
    const stopWatching = this.#host.watch(connection);
    try {
      results = await connection.run(sent);
    } catch (error) {
      throw this.#failed(error, opening.length, before);
    } finally {
      this.#afterAnswer(stopWatching);
    }
    this.#answered(opening.length, before);
    const own = before === 0 && !readId ? results : results.slice(before, before + statements.length);
    this.#assertStillInside(statements, own);
    if (readId) this.#outcome = outcomeOf(this.#host.database, connection, results.at(-1));
    const telling = tells ? this.#host.afterBegin() : undefined;
    if (telling !== undefined) await telling;
    return own;
  }

  /**
   * Sends a text of several statements by the simple protocol.
   * @returns the last result
   * @throws BatchFailure
   */
  async sendScript(text: string): Promise<StatementResult> {
    // The simple protocol has no parameters: what must go in front goes by itself, and a script behind a BEGIN
    // that failed is not sent at all.
    if (!this.#begun || this.savepoints.unsent().length > 0) await this.send([]);
    this.#assertNotOver();
    const connection = this.#connection as DatabaseConnection;
    this.#wrote = true;
    let results: StatementResult[];
    const stopWatching = this.#host.watch(connection);
    try {
      results = await connection.script(text);
    } catch (error) {
      throw this.#failed(error, 0, 0);
    } finally {
      this.#afterAnswer(stopWatching);
    }
    this.#assertStillInside(
      results.map(() => ({ text })),
      results,
    );
    return results.at(-1) as StatementResult;
  }

  /** A statement that rolled back to a savepoint of the application's own has put things right again. */
  forgiveTop(): void {
    const { top } = this.savepoints;
    if (top === null) this.#failure = null;
    else top.failure = null;
  }

  #afterAnswer(stopWatching: (() => void) | undefined): void {
    stopWatching?.();
    this.#whenAnswered?.();
  }

  #connected(connection: DatabaseConnection): DatabaseConnection {
    if (this.#over) {
      // The transaction was given up meanwhile, and nobody is left to give this one back.
      connection.release();
      this.#assertNotOver();
    }
    this.#connection = connection;
    return connection;
  }

  /** Behind ROLLBACK a statement would be on its own, and stay. */
  #assertNotOver(): void {
    this.#host.assertNotGivenUp();
    if (this.#over) throw this.#host.closedError();
  }

  #noteWrites(statements: readonly Statement[]): void {
    if (!this.#wrote) this.#wrote = statements.some((one) => mayWrite(one.text));
  }

  /** Notes what the server has executed of what went in front. */
  #answered(openingLength: number, executed: number): void {
    if (executed === 0) return;
    this.savepoints.answered(Math.max(0, executed - openingLength));
    if (this.#begun) return;
    this.#begun = true;
    this.#host.onBegun();
  }

  /** Keeps the books after a failed exchange; gives the failure, its index counted without what went in front. */
  #failed(error: unknown, openingLength: number, before: number): unknown {
    // Not sent: a value could not be encoded. The transaction is as it was.
    if (!(error instanceof BatchFailure)) return error;
    if (error.connectionLost) {
      this.#lose(error.driverError);
      return error;
    }
    this.#answered(openingLength, Math.min(error.index, before));
    if (this.#begun && this.#connection?.status === 'I') return this.#noteEndedOutside();
    if (isServerError(error.driverError)) this.#noteServerFailure(error.driverError);
    return new BatchFailure(Math.max(0, error.index - before), error.driverError, [], false);
  }

  #drop(reason: Error): void {
    this.#connection?.destroy(reason);
    this.#connection = null;
  }

  #lose(reason: Error): void {
    this.#drop(reason);
    this.#host.onLost(reason, false);
    this.#failure ??= this.#host.database.connectionLost(reason, true);
  }

  /** Somebody sent COMMIT or ROLLBACK as SQL: found by the tags, and by the status that the server reports. */
  #assertStillInside(statements: readonly Statement[], results: readonly StatementResult[]): void {
    const ended =
      this.#connection?.status === 'I' ||
      results.some(
        ({ command }, index) =>
          command === 'COMMIT' || (command === 'ROLLBACK' && !/\bTO\b/i.test(statements[index]?.text ?? '')),
      );
    if (ended) throw this.#noteEndedOutside();
  }

  #noteEndedOutside(): Error {
    const error = new TransactionEndedOutsideError(
      `The transaction of ${this.#host.label} was ended by SQL that was sent inside it (COMMIT or ROLLBACK). What of its work is stored is not known here. ` +
        `Leave the end of the transaction to ${this.#host.label}, or use a query runner of your own (dataSource.createQueryRunner()).`,
    );
    this.#drop(error);
    this.#endedOutside = true;
    this.#failure ??= error;
    this.#host.onLost(error, true);
    return error;
  }

  // ── the end ───────────────────────────────────────────────────────────────────────────────────────────

  /** Commits nothing: gives back what was taken without having been used. */
  giveBackUnused(): void {
    this.#connection?.release();
    this.#connection = null;
  }

  /**
   * Prepares for a COMMIT whose outcome must be certain even if its answer is lost: everything is sent now, with a
   * row that will tell, and COMMIT goes alone.
   */
  async sendCertain(payload: readonly Statement[]): Promise<StatementResult[]> {
    this.#noteWrites(payload);
    if (!this.#wrote) return this.send(payload);
    const connection = this.#connection ?? this.#connected(await this.#host.acquire());
    const { statement, marker } = commitMarker(connection.identity);
    try {
      const results = await this.send([...payload, statement], true);
      this.#outcome?.markedBy(marker);
      return results.slice(0, payload.length);
    } catch (error) {
      const failed = error instanceof BatchFailure && error.index === payload.length ? error.driverError : null;
      throw (failed === null ? null : statement.explain?.(failed)) ?? error;
    }
  }

  /**
   * Sends the payload and COMMIT under one Sync, and gives the connection back when the server has committed.
   * @returns a result for each statement of the payload
   * @throws BatchFailure; its index is that of the payload's length when COMMIT itself was refused
   */
  async commit(payload: readonly Statement[]): Promise<{ readonly results: StatementResult[]; readonly tag: string }> {
    const connection = this.#connection ?? this.#connected(await this.#host.acquire());
    this.#assertNotOver();
    const opening = this.#begun ? [] : this.#host.opening();
    const unsent = this.savepoints.unsent();
    const before = opening.length === 0 ? unsent : [...opening, ...unsent];
    this.#noteWrites(payload);
    if (connection.lost !== null) {
      // It went before COMMIT could be sent: the server has rolled back.
      const { lost } = connection;
      this.#lose(lost);
      throw new BatchFailure(0, lost, [], true);
    }
    let results: StatementResult[];
    const stopWatching = this.#host.watch(connection);
    try {
      results = await connection.run([...before, ...payload, COMMIT]);
    } catch (error) {
      if (!(error instanceof BatchFailure)) throw error;
      if (error.connectionLost) {
        this.#drop(error.driverError);
        throw error;
      }
      if (error.index === before.length + payload.length) {
        this.#begun = true;
        this.#failure ??= error.driverError;
        throw new BatchFailure(payload.length, error.driverError, [], false);
      }
      throw this.#failed(error, opening.length, before.length);
    } finally {
      this.#afterAnswer(stopWatching);
    }
    this.#answered(opening.length, before.length);
    const tag = connection.status === 'I' ? (results.at(-1)?.command ?? '') : 'nothing that ends it';
    if (tag === 'COMMIT') this.giveBackUnused();
    return { results: results.slice(before.length, before.length + payload.length), tag };
  }

  /** What became of a COMMIT whose answer was lost. */
  async lookUpOutcome(): Promise<CommitVerdict> {
    // What wrote nothing has no outcome to lose.
    if (!this.#wrote) return 'committed';
    return (await this.#outcome?.find()) ?? 'unknown';
  }

  /**
   * Sends ROLLBACK if there is anything to roll back, and parts with the connection in any case.
   * @returns the error that kept ROLLBACK from being answered, if any; the connection is destroyed then
   */
  async rollback(): Promise<unknown> {
    this.#over = true;
    const connection = this.#connection;
    if (connection === null) return undefined;
    if (connection.busy) await this.#untilAnswered(connection);
    // It was a COMMIT, and there is nothing left to roll back.
    if (this.#connection === null) return undefined;
    let failed: unknown;
    if (connection.lost === null && connection.status !== 'I' && !connection.busy) {
      try {
        // What is unsent came after the last statement, so that one has not failed, and RELEASE is not refused.
        await connection.run([...this.savepoints.unsentReleases(), { text: 'ROLLBACK' }]);
      } catch (error) {
        failed = error instanceof BatchFailure ? error.driverError : error;
        connection.destroy(failed as Error);
      }
    }
    connection.release();
    this.#connection = null;
    return failed;
  }

  /** Asks the server to cancel what runs now; the connection is never pooled again. */
  cancel(): void {
    if (this.#connection?.busy === true) void this.#connection.cancel();
  }

  #untilAnswered(connection: DatabaseConnection): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#whenAnswered = null;
        // Whoever has sent it looks at the answer first.
        setImmediate(resolve);
      };
      const timer = setTimeout(() => {
        connection.destroy(new Error('The server did not answer a cancel request'));
        done();
      }, CANCEL_GRACE);
      this.#whenAnswered = done;
    });
  }
}

function dooms(error: unknown): boolean {
  return DOOMS_THE_TRANSACTION.has(sqlStateOf(error) ?? '');
}
