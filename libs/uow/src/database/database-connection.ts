import { randomUUID } from 'node:crypto';
import { Batch, BatchFailure, Script } from './batch.js';
import type { ConnectionProvider, PgClient, PgProtocolConnection } from './pg-driver.js';
import { PreparedStatements } from './prepared-statements.js';
import type { Statement, StatementResult } from './statement.js';

/**
 * One borrowed connection. It knows what the server says of its transaction status, gives itself back to the
 * pool only when that status is idle, and destroys itself otherwise: after a lost socket, an open
 * transaction, or a cancel request (which may arrive late and would hit the next borrower).
 */

/** `I` idle, `T` in a transaction, `E` in a failed one; as PostgreSQL's ReadyForQuery tells. */
export type TransactionStatusCode = 'I' | 'T' | 'E';

interface ClientState {
  readonly identity: string;
  status: TransactionStatusCode;
  serverStarted: string | null;
  readonly prepared: PreparedStatements;
}

const PREPARED_STATEMENTS_PER_CONNECTION = 250;
const CANCEL_CONNECT_TIMEOUT = 5_000;
/** Milliseconds between cancel requests, doubled each time. */
const FIRST_CANCEL_PAUSE = 25;
const LAST_CANCEL_PAUSE = 1_000;

/** What outlives one borrowing: kept per client, because prepared statements live as long as the socket. */
const clientStates = new WeakMap<PgClient, ClientState>();

function stateOf(client: PgClient): ClientState {
  let state = clientStates.get(client);
  if (state === undefined) {
    const created: ClientState = {
      identity: randomUUID(),
      // Whoever had it before may have left a transaction open.
      status: (client.getTransactionStatus?.() as TransactionStatusCode | null | undefined) ?? 'I',
      serverStarted: null,
      prepared: new PreparedStatements(PREPARED_STATEMENTS_PER_CONNECTION),
    };
    // Before pg's own listener, which settles the running batch: its continuation must see the new status.
    client.connection.prependListener('readyForQuery', (message: { status?: TransactionStatusCode }) => {
      created.status = message.status ?? 'I';
    });
    clientStates.set(client, created);
    state = created;
  }
  return state;
}

export class DatabaseConnection {
  readonly #provider: ConnectionProvider;
  readonly #client: PgClient;
  readonly #giveBack: (error?: Error | boolean) => void;
  readonly #state: ClientState;
  readonly #usePrepared: boolean;
  readonly #onError: (error: Error) => void;
  #lost: Error | null = null;
  #tainted = false;
  #released = false;
  #busy = false;
  #lastStatement: string | null = null;

  constructor(
    provider: ConnectionProvider,
    client: PgClient,
    giveBack: (error?: Error | boolean) => void,
    options: { preparedStatements: boolean },
  ) {
    this.#provider = provider;
    this.#client = client;
    this.#giveBack = giveBack;
    this.#usePrepared = options.preparedStatements;
    this.#state = stateOf(client);
    this.#onError = (error) => {
      this.#lost ??= error;
    };
    client.on('error', this.#onError);
  }

  /** What the server last said of this connection's transaction. */
  get status(): TransactionStatusCode {
    return this.#state.status;
  }

  /** Names the connection itself, for as long as its socket lives. */
  get identity(): string {
    return this.#state.identity;
  }

  /** When its server was started, as the server tells; null until somebody has asked. */
  get serverStarted(): string | null {
    return this.#state.serverStarted;
  }

  set serverStarted(started: string | null) {
    this.#state.serverStarted = started;
  }

  /** Why the connection is gone; `null` while it is there. */
  get lost(): Error | null {
    return this.#lost;
  }

  /** The backend's process id, as `pg_stat_activity` and `pg_blocking_pids` name it. */
  get processId(): number | null {
    return this.#client.processID;
  }

  /** True while a statement is on its way. */
  get busy(): boolean {
    return this.#busy;
  }

  /** Text of the last statement sent. */
  get lastStatement(): string | null {
    return this.#lastStatement;
  }

  /**
   * Sends the statements with one Sync behind the last.
   * @returns a result for each, in order
   * @throws BatchFailure when one fails; the conversion error when a value cannot be encoded (nothing sent)
   */
  run(statements: readonly Statement[]): Promise<StatementResult[]> {
    return this.#exchange(
      (settle) =>
        new Batch(
          this.#provider,
          this.#client._types,
          statements,
          this.#usePrepared ? this.#state.prepared : null,
          settle,
        ),
      statements.at(-1)?.text ?? null,
      statements,
    );
  }

  /** Sends a text of several statements by the simple protocol. */
  script(text: string): Promise<StatementResult[]> {
    return this.#exchange((settle) => new Script(this.#provider.pg, this.#client._types, text, settle), text, [
      { text },
    ]);
  }

  #exchange(
    create: (settle: (failure: BatchFailure | null, results: readonly StatementResult[]) => void) => object,
    text: string | null,
    statements: readonly Statement[],
  ): Promise<StatementResult[]> {
    return new Promise((resolve, reject) => {
      if (this.#lost !== null) {
        reject(new BatchFailure(0, this.#lost, [], true));
        return;
      }
      // Encoding happens in the constructor: an error there leaves the connection untouched.
      const exchange = create((failure, results) => {
        this.#busy = false;
        if (failure === null) {
          resolve(results as StatementResult[]);
          return;
        }
        if (failure.connectionLost) this.#lost ??= failure.driverError;
        const failed = statements[Math.min(failure.index, statements.length - 1)];
        if (failed !== undefined) this.#provider.logQueryError?.(failure.driverError, failed);
        reject(failure);
      });
      if (this.#provider.logQuery !== undefined) {
        for (const one of statements) this.#provider.logQuery(one);
      }
      this.#busy = true;
      this.#lastStatement = text;
      this.#client.query(exchange);
    });
  }

  /**
   * Asks the server to cancel the running statement, again and again until it is answered: a request that comes
   * before the server has begun with the statement is lost. The connection is never pooled afterwards.
   * @returns when the statement was answered, the connection is gone, or the server could not be made to listen
   */
  async cancel(): Promise<void> {
    if (this.#tainted) return;
    this.#tainted = true;
    const { processID, secretKey } = this.#client;
    if (processID === null) return;
    for (let pause = FIRST_CANCEL_PAUSE; pause <= LAST_CANCEL_PAUSE; pause *= 2) {
      if (!this.#busy || this.#released || this.#lost !== null) return;
      await sendCancelRequest(this.#provider, this.#client, processID, secretKey);
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  /** Gives the connection back: to the pool when the server says that it is idle, else it is destroyed. */
  release(): void {
    if (this.#released) return;
    if (this.#lost !== null || this.#tainted || this.#busy || this.status !== 'I') {
      this.destroy(this.#lost ?? new Error('The connection was not idle at the end of its use'));
      return;
    }
    this.#released = true;
    this.#client.removeListener('error', this.#onError);
    this.#giveBack();
  }

  /** Ends the connection; the server rolls back what was open on it. */
  destroy(reason: Error): void {
    if (this.#released) return;
    this.#released = true;
    this.#lost ??= reason;
    this.#giveBack(reason);
    // A socket that ends in mid-flight reports once more; without a listener that would end the process.
    this.#client.on('error', () => undefined);
    this.#client.removeListener('error', this.#onError);
  }
}

function sendCancelRequest(
  provider: ConnectionProvider,
  client: PgClient,
  processId: number,
  secretKey: unknown,
): Promise<void> {
  return new Promise((resolve) => {
    const asking: PgProtocolConnection = new provider.pg.Connection({
      ssl: client.ssl,
      sslNegotiation: client.sslNegotiation,
    });
    const giveUp = setTimeout(() => {
      asking.stream.destroy();
      resolve();
    }, CANCEL_CONNECT_TIMEOUT);
    const done = (): void => {
      clearTimeout(giveUp);
      resolve();
    };
    asking.on('error', done);
    asking.once('end', done);
    const ask = (): void => {
      asking.cancel(processId, secretKey);
    };
    asking.once('sslconnect', ask);
    asking.once('connect', () => {
      if (client.ssl === undefined || client.ssl === null || client.ssl === false) ask();
      else if (client.sslNegotiation !== 'direct') asking.requestSsl();
    });
    if (client.host.startsWith('/')) asking.connect(`${client.host}/.s.PGSQL.${client.port}`);
    else asking.connect(client.port, client.host);
  });
}
