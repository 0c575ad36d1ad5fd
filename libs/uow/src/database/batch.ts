import type { PgModule, PgProtocolConnection, PgResult, Submittable } from './pg-driver.js';
import type { PreparedStatements } from './prepared-statements.js';
import { readingText } from './read-text.js';
import type { Statement, StatementResult } from './statement.js';

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

const passThrough = (value: unknown): unknown => value;

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
  readonly #types: unknown;

  constructor(pg: PgModule, types: unknown, settle: Settle) {
    this.#pg = pg;
    this.#types = types;
    this.#settle = settle;
  }

  abstract submit(connection: PgProtocolConnection): Error | null;
  protected abstract rowModeOf(index: number): 'array' | undefined;

  #result(): PgResult {
    if (this.current !== null) return this.current;
    const mode = this.rowModeOf(this.results.length);
    return (this.current = new this.#pg.Result(mode, mode === 'array' ? readingText(this.#types) : this.#types));
  }

  handleRowDescription(message: { fields: unknown[] }): void {
    this.#result().addFields(message.fields);
  }

  handleDataRow(message: { fields: unknown[] }): void {
    const result = this.#result();
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

/** Feature not supported ("cached plan must not change result type") and unknown statement name. */
const STALE_PLAN_STATES = new Set(['0A000', '26000']);

/** Statements by the extended protocol, one Sync behind the last. */
export class Batch extends Exchange {
  readonly #statements: readonly Statement[];
  readonly #values: readonly (readonly unknown[])[];
  readonly #prepared: PreparedStatements | null;
  #parsed: { readonly index: number; readonly name: string }[] | null = null;

  /**
   * @throws what the conversion of a value throws (a circular json, a BigInt in json); nothing was sent then
   */
  constructor(
    pg: PgModule,
    types: unknown,
    statements: readonly Statement[],
    encode: (value: unknown) => unknown,
    prepared: PreparedStatements | null,
    settle: Settle,
  ) {
    super(pg, types, settle);
    this.#statements = statements;
    this.#prepared = prepared;
    this.#values = statements.map((one) =>
      one.values === undefined || one.values.length === 0 ? [] : one.values.map(encode),
    );
  }

  protected override rowModeOf(index: number): 'array' | undefined {
    return this.#statements[index]?.rowMode === 'array' ? 'array' : undefined;
  }

  override submit(connection: PgProtocolConnection): Error | null {
    const { stream } = connection;
    stream.cork?.();
    try {
      if (this.#prepared !== null) {
        for (const name of this.#prepared.takeClosing()) connection.close({ type: 'S', name });
      }
      for (let index = 0; index < this.#statements.length; index += 1) {
        this.#write(connection, index);
      }
      connection.sync();
    } finally {
      stream.uncork?.();
    }
    return null;
  }

  #write(connection: PgProtocolConnection, index: number): void {
    const one = this.#statements[index] as Statement;
    let name = '';
    if (this.#prepared === null || one.prepare === false) {
      connection.parse({ name, text: one.text });
    } else {
      const known = this.#prepared.find(one.text) ?? this.#nameInThisBatch(one.text);
      if (known === undefined) {
        name = this.#prepared.nextName();
        (this.#parsed ??= []).push({ index, name });
        connection.parse({ name, text: one.text });
      } else {
        name = known;
      }
    }
    connection.bind({
      portal: '',
      statement: name,
      values: this.#values[index] as readonly unknown[],
      binary: false,
      valueMapper: passThrough,
    });
    connection.describe({ type: 'P', name: '' });
    connection.execute({ portal: '', rows: 0 });
  }

  #nameInThisBatch(text: string): string | undefined {
    return this.#parsed?.find((one) => this.#statements[one.index]?.text === text)?.name;
  }

  protected override onSettled(failure: { index: number; error: Error } | null): void {
    if (this.#prepared === null) return;
    for (const { index, name } of this.#parsed ?? []) {
      if (failure === null || index < failure.index) {
        this.#prepared.keep((this.#statements[index] as Statement).text, name);
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

  constructor(pg: PgModule, types: unknown, text: string, settle: Settle) {
    super(pg, types, settle);
    this.#text = text;
  }

  protected override rowModeOf(): undefined {
    return undefined;
  }

  override submit(connection: PgProtocolConnection): Error | null {
    connection.query(this.#text);
    return null;
  }
}
