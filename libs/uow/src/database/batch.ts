import { ArrayRows } from './array-rows.js';
import { BinaryArray } from './binary-array.js';
import { FrontendMessages } from './frontend-messages.js';
import type { ConnectionProvider, PgModule, PgProtocolConnection, PgResult, Submittable } from './pg-driver.js';
import type { PreparedStatement, PreparedStatements } from './prepared-statements.js';
import { readingText } from './read-text.js';
import type { TypeParsers } from './read-text.js';
import type { ResultField, Statement, StatementResult } from './statement.js';

/**
 * Several statements under one Sync, as one object that node-postgres accepts: the first that fails makes
 * the server skip the rest, so a BEGIN that fails leaves no statement running in autocommit behind it.
 * Every parameter is encoded before the first byte is written.
 */

/** The batch failed. `index` tells which statement did; those before it were executed. */
export class BatchFailure extends Error {
  constructor(
    /** Position of the failed statement in the batch. */
    readonly index: number,
    /** What the server or the socket said. */
    readonly driverError: Error,
    /** Results of the statements before it. */
    readonly completed: readonly StatementResult[],
    /** True when the connection is gone. */
    readonly connectionLost: boolean,
  ) {
    super(driverError.message, { cause: driverError });
    this.name = 'BatchFailure';
  }
}

/** So that V8 keeps the code that was compiled for such messages, even when a full collection finds no other. */
let keptMessage: object | null = null;

type Settle = (failure: BatchFailure | null, results: readonly StatementResult[]) => void;

/** What `Batch` and `Script` share: collecting results, and settling only at ReadyForQuery. */
abstract class Exchange implements Submittable {
  // pg looks at this member to decide whether the caller listens.
  readonly callback = null;
  protected readonly results: PgResult[] = [];
  protected current: PgResult | null = null;
  #failure: { index: number; error: Error } | null = null;
  #rowError: Error | null = null;
  #settled = false;
  readonly #settle: Settle;
  readonly #pg: PgModule;
  readonly #types: TypeParsers;
  /** The same for rows that are wanted as arrays; found once for all results. */
  #reading: TypeParsers | null = null;

  constructor(pg: PgModule, types: TypeParsers, settle: Settle) {
    this.#pg = pg;
    this.#types = types;
    this.#settle = settle;
  }

  abstract submit(connection: PgProtocolConnection): Error | null;
  protected abstract rowModeOf(index: number): 'array' | undefined;
  /** The columns of a statement whose answer does not bring them. */
  protected abstract fieldsOf(index: number): readonly ResultField[] | null;

  #result(): PgResult {
    return (this.current ??= this.#startResult(this.results.length));
  }

  #startResult(index: number): PgResult {
    const fields = this.fieldsOf(index);
    if (this.rowModeOf(index) === 'array') {
      return new ArrayRows((this.#reading ??= readingText(this.#types)), fields);
    }
    const result = new this.#pg.Result(undefined, this.#types);
    // A list of its own: whoever gets the result may change it.
    if (fields !== null && fields.length > 0) result.addFields([...fields]);
    return result;
  }

  handleRowDescription(message: { fields: ResultField[] }): void {
    this.#result().addFields(message.fields);
  }

  handleDataRow(message: { fields: (string | null)[] }): void {
    const result = this.#result();
    keptMessage ??= message;
    try {
      result.rows.push(result.parseRow(message.fields));
    } catch (error) {
      // A type parser of the application threw; the protocol goes on, the caller hears of it at the end.
      this.#rowError ??= error as Error;
    }
  }

  handleCommandComplete(message: { text: string }): void {
    const result = this.#result();
    result.addCommandComplete(message);
    this.#finishStatement(result);
  }

  handleEmptyQuery(): void {
    this.#finishStatement(this.#result());
  }

  #finishStatement(result: PgResult): void {
    this.results.push(result);
    this.current = null;
  }

  handlePortalSuspended(): void {
    // Execute is sent without a row limit, so the server never suspends a portal of ours.
  }

  handleCopyInResponse(connection: PgProtocolConnection): void {
    connection.sendCopyFail('COPY FROM STDIN needs a stream; use a query runner of your own for it');
  }

  handleCopyData(): void {
    // COPY TO STDOUT: its rows are not collected, the command completes normally.
  }

  handleReadyForQuery(): void {
    this.#finish(false);
  }

  handleError(error: Error, connection: PgProtocolConnection): void {
    const fromServer = typeof (error as { severity?: unknown }).severity === 'string';
    this.#failure ??= { index: this.results.length, error };
    if (!fromServer) {
      this.#finish(true);
      return;
    }
    // After an ErrorResponse pg forgets the active query: ReadyForQuery (or the end of the socket, after a
    // FATAL one) has to be watched for here, else the next statement would be written too early.
    const ready = (): void => {
      connection.removeListener('end', ended);
      this.#finish(false);
    };
    const ended = (): void => {
      connection.removeListener('readyForQuery', ready);
      this.#finish(true);
    };
    connection.once('readyForQuery', ready);
    connection.once('end', ended);
  }

  #finish(connectionLost: boolean): void {
    if (this.#settled) return;
    this.#settled = true;
    const failure =
      this.#failure ?? (this.#rowError === null ? null : { index: this.results.length - 1, error: this.#rowError });
    this.onSettled(failure);
    this.#settle(
      failure === null ? null : new BatchFailure(failure.index, failure.error, this.results, connectionLost),
      this.results,
    );
  }

  protected onSettled(_failure: { index: number; error: Error } | null): void {
    // Batch keeps its prepared statements here.
  }
}

const NO_VALUES: readonly unknown[] = Object.freeze([]);

/** Values as the driver converts them; what it would leave alone is not handed to it. */
function encoded(values: readonly unknown[], provider: Pick<ConnectionProvider, 'prepareValue'>): unknown[] {
  const texts = new Array<unknown>(values.length);
  for (let at = 0; at < values.length; at++) {
    const value = values[at];
    if (typeof value === 'string' || value === null) texts[at] = value;
    else if (typeof value === 'number') texts[at] = String(value);
    else texts[at] = value instanceof BinaryArray ? value : (provider.prepareValue(value) ?? null);
  }
  return texts;
}

/** Feature not supported ("cached plan must not change result type") and unknown statement name. */
const STALE_PLAN_STATES = new Set(['0A000', '26000']);

/** Statements by the extended protocol, one Sync behind the last. */
export class Batch extends Exchange {
  readonly #statements: readonly Statement[];
  readonly #values: readonly (readonly unknown[])[];
  readonly #prepared: PreparedStatements | null;
  #parsed: { readonly index: number; readonly name: string }[] | null = null;
  /** By index: those that the server knew before. */
  #known: PreparedStatement[] | null = null;

  /**
   * @throws what the conversion of a value throws (a circular json, a BigInt in json); nothing was sent then
   */
  constructor(
    provider: Pick<ConnectionProvider, 'pg' | 'prepareValue'>,
    types: TypeParsers,
    statements: readonly Statement[],
    prepared: PreparedStatements | null,
    settle: Settle,
  ) {
    super(provider.pg, types, settle);
    this.#statements = statements;
    this.#prepared = prepared;
    this.#values = statements.map(({ values }) => (values === undefined ? NO_VALUES : encoded(values, provider)));
  }

  protected override rowModeOf(index: number): 'array' | undefined {
    return this.#statements[index]?.rowMode === 'array' ? 'array' : undefined;
  }

  protected override fieldsOf(index: number): readonly ResultField[] | null {
    return this.#known?.[index]?.fields ?? null;
  }

  override submit(connection: PgProtocolConnection): Error | null {
    const messages = new FrontendMessages();
    if (this.#prepared !== null) {
      for (const name of this.#prepared.takeClosing()) messages.closeStatement(name);
    }
    for (let index = 0; index < this.#statements.length; index++) this.#write(messages, index);
    messages.sync();
    if (connection.stream.writable) messages.writeTo(connection.stream);
    return null;
  }

  #write(messages: FrontendMessages, index: number): void {
    const one = this.#statements[index] as Statement;
    let name = '';
    let described = false;
    if (this.#prepared === null || one.prepare === false) {
      messages.parse(name, one.text);
    } else {
      const known = this.#prepared.find(one.text);
      if (known !== undefined) {
        name = known.name;
        described = known.fields !== null;
        (this.#known ??= [])[index] = known;
        if (described && this.#values[index]!.length === 0) {
          messages.executeAgain((known.execution ??= FrontendMessages.executionOf(name)));
          return;
        }
      } else {
        name = this.#nameInThisBatch(one.text) ?? this.#parse(messages, index);
      }
    }
    messages.bind(name, this.#values[index] as readonly unknown[]);
    if (!described) messages.describe();
    messages.execute();
  }

  #parse(messages: FrontendMessages, index: number): string {
    const { text } = this.#statements[index] as Statement;
    const name = this.#prepared!.nextName();
    (this.#parsed ??= []).push({ index, name });
    messages.parse(name, text);
    return name;
  }

  #nameInThisBatch(text: string): string | undefined {
    return this.#parsed?.find((one) => this.#statements[one.index]?.text === text)?.name;
  }

  protected override onSettled(failure: { index: number; error: Error } | null): void {
    if (this.#prepared === null) return;
    for (const { index, name } of this.#parsed ?? []) {
      if (failure === null || index < failure.index) {
        this.#prepared.keep((this.#statements[index] as Statement).text, name, this.results[index]?.fields);
      } else {
        this.#prepared.abandon(name);
      }
    }
    if (failure !== null && STALE_PLAN_STATES.has((failure.error as { code?: string }).code ?? '')) {
      const failed = this.#statements[failure.index];
      if (failed !== undefined) this.#prepared.forget(failed.text);
    }
  }
}

/**
 * A text of several statements by the simple protocol (the extended one takes a single statement), as
 * migrations and scripts send them. The server stops at the first that fails.
 */
export class Script extends Exchange {
  readonly #text: string;

  constructor(pg: PgModule, types: TypeParsers, text: string, settle: Settle) {
    super(pg, types, settle);
    this.#text = text;
  }

  protected override rowModeOf(): undefined {
    return undefined;
  }

  protected override fieldsOf(): null {
    return null;
  }

  override submit(connection: PgProtocolConnection): Error | null {
    connection.query(this.#text);
    return null;
  }
}
