import { ConnectionLostError, PoolExhaustedError } from '../errors/database-errors.js';
import type { ConnectionHolderInfo } from '../errors/database-errors.js';
import { reportToProcess } from '../diagnostics/report.js';
import type { Report } from '../diagnostics/report.js';
import { BatchFailure } from './batch.js';
import { DatabaseConnection } from './database-connection.js';
import { DEFAULT_DATABASE_OPTIONS } from './database-options.js';
import type { DatabaseOptions } from './database-options.js';
import { OverdueWatch } from './overdue-watch.js';
import type { Watched } from './overdue-watch.js';
import type { ConnectionProvider } from './pg-driver.js';
import { isServerError, toDatabaseError } from './postgres-error.js';
import type { Statement, StatementResult } from './statement.js';
import { UnorderedList } from './unordered-list.js';
import type { Indexed } from './unordered-list.js';

/**
 * One data source as the library sees it: its options, its connections, and who holds them. It refuses at
 * once to wait for a connection that can never come: when every one of the pool is held by a transaction
 * that itself waits for a second one.
 */

/** Whoever holds, or wants, a connection; `PoolExhaustedError` prints it. */
export interface ConnectionHolder {
  /** Method or place that asked. */
  readonly label: string;
  /** The holder within which this one was asked for (a suspended transaction), if any. */
  readonly outer: ConnectionHolder | null;
  /** Who has opened it, for a warning when it holds a connection for too long; null where it has limits of its own. */
  readonly overdue: (() => string) | null;
}

class Held implements Indexed, Watched {
  readonly since = performance.now();
  looks = 0;
  index = -1;

  constructor(
    readonly holder: ConnectionHolder,
    readonly connection: DatabaseConnection,
  ) {}

  get overdue(): (() => string) | null {
    return this.holder.overdue;
  }
}

class Waiting implements Indexed {
  index = -1;

  constructor(
    readonly holder: ConnectionHolder,
    readonly refuse: (error: Error) => void,
  ) {}
}

/** What an acquisition may ask for. */
export interface AcquireOptions {
  /** Ends the wait when aborted; the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** A client of the pool, and what gives it back. */
type Taken = Awaited<ReturnType<ConnectionProvider['connect']>>;

const SHOWN_STATEMENT_LENGTH = 120;

export class Database {
  readonly options: DatabaseOptions;
  readonly #provider: ConnectionProvider;
  readonly #held = new UnorderedList<Held>();
  readonly #waiting = new UnorderedList<Waiting>();
  readonly #watch: OverdueWatch;

  /**
   * @param name the data source's name in the module (`default` where none was given)
   * @param provider how to get connections
   */
  constructor(
    readonly name: string,
    provider: ConnectionProvider,
    options: Partial<DatabaseOptions> = {},
    /** Where warnings go; the Nest module hands them to Nest's logger. */
    readonly report: Report = reportToProcess,
  ) {
    this.#provider = provider;
    this.options = Object.freeze({ ...DEFAULT_DATABASE_OPTIONS, ...options });
    const { warnAfter } = this.options;
    this.#watch = new OverdueWatch(warnAfter, this.#held, (opened) => {
      report({
        code: 'UOW_WARN_SESSION_OPEN_TOO_LONG',
        message: `${opened} has been open for more than ${warnAfter} ms: it holds a connection, and perhaps locks. Commit or roll back before anything slow.`,
      });
    });
  }

  /** The server's version as a number (180004 for 18.4); 0 when unknown. */
  get serverVersion(): number {
    return this.#provider.serverVersion();
  }

  /** True where a connection could be had without waiting for one to be given back. */
  get hasFreeConnection(): boolean {
    return this.#provider.hasIdle();
  }

  /** How many connections are held through this object now. */
  get heldConnections(): number {
    return this.#held.size;
  }

  /** Who holds a connection now, for how long, and what it last sent; the longest first. */
  holders(): ConnectionHolderInfo[] {
    const now = performance.now();
    const held = [...this.#held].sort((one, other) => one.since - other.since);
    return held.map(({ holder, connection, since }) => ({
      label: holder.label,
      heldFor: Math.round(now - since),
      lastStatement: connection.lastStatement?.slice(0, SHOWN_STATEMENT_LENGTH) ?? null,
      waiting: this.#isWaiting(holder),
    }));
  }

  /**
   * Takes a connection out of the pool.
   * @throws PoolExhaustedError when none can ever come, or none came within `acquireTimeout`
   * @throws ConnectionLostError when the server cannot be reached
   */
  async acquire(holder: ConnectionHolder, options: AcquireOptions = {}): Promise<DatabaseConnection> {
    options.signal?.throwIfAborted();
    for (;;) {
      const atOnce = options.signal === undefined && this.#provider.hasIdle();
      let taken: Taken;
      try {
        taken = await (atOnce ? this.#provider.connect() : this.#wait(holder, options));
      } catch (error) {
        throw atOnce ? this.#connectFailure(error as Error) : error;
      }
      const [client, giveBack] = taken;
      let held: Held | null = null;
      const connection = new DatabaseConnection(
        this.#provider,
        client,
        (error) => {
          if (held !== null) this.#held.remove(held);
          giveBack(error);
        },
        { preparedStatements: this.options.preparedStatements },
      );
      if (connection.status === 'I') {
        held = new Held(holder, connection);
        this.#held.add(held);
        if (holder.overdue !== null) this.#watch.start();
        return connection;
      }
      // Other code of the application gave it back to the pool inside a transaction; ours must not run in that.
      this.report({
        code: 'UOW_WARN_CONNECTION_NOT_IDLE',
        message: `A connection of data source "${this.name}" came out of the pool with a transaction open: code that uses a query runner or client of its own gave it back without COMMIT or ROLLBACK. It was destroyed.`,
      });
      connection.destroy(new Error('The connection was given back to the pool inside a transaction'));
    }
  }

  #connectFailure(error: Error): Error {
    if (isServerError(error)) return toDatabaseError(error);
    return new ConnectionLostError(
      `No connection to data source "${this.name}": ${error.message}. Check that the server runs and that its address and credentials are right.`,
      { cause: error },
    );
  }

  #wait(holder: ConnectionHolder, { signal }: AcquireOptions): Promise<Taken> {
    return new Promise((resolve, reject) => {
      let open = true;
      let timer: NodeJS.Timeout | undefined;
      const finish = (): boolean => {
        if (!open) return false;
        open = false;
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        this.#waiting.remove(waiting);
        return true;
      };
      const refuse = (error: Error): void => {
        if (finish()) reject(error);
      };
      const onAbort = (): void => {
        refuse(signal?.reason as Error);
      };
      const waiting = new Waiting(holder, refuse);
      this.#waiting.add(waiting);
      signal?.addEventListener('abort', onAbort, { once: true });
      const { acquireTimeout } = this.options;
      if (Number.isFinite(acquireTimeout)) {
        timer = setTimeout(() => {
          refuse(this.#exhausted(holder, `none came free within ${acquireTimeout} ms`));
        }, acquireTimeout);
      }
      if (this.#canNeverCome()) {
        refuse(this.#exhausted(holder, 'every one is held by a transaction that itself waits for a second one'));
        return;
      }
      this.#provider.connect().then(
        (client) => {
          if (finish()) resolve(client);
          else client[1]();
        },
        (error: unknown) => {
          const failure = this.#connectFailure(error as Error);
          // pg-pool's own connectionTimeoutMillis tells less than we know.
          const gaveUp = failure.message.includes('timeout exceeded');
          refuse(gaveUp ? this.#exhausted(holder, 'the pool gave up waiting', failure) : failure);
        },
      );
    });
  }

  /** Ends the wait of a holder that is given up. */
  refuseWaiting(holder: ConnectionHolder, reason: Error): void {
    for (const waiting of [...this.#waiting]) if (waiting.holder === holder) waiting.refuse(reason);
  }

  #isWaiting(holder: ConnectionHolder): boolean {
    for (const { holder: waiter } of this.#waiting) {
      for (let one = waiter.outer; one !== null; one = one.outer) if (one === holder) return true;
    }
    return false;
  }

  #canNeverCome(): boolean {
    if (this.#held.size < this.#provider.poolSize) return false;
    for (const { holder } of this.#held) if (!this.#isWaiting(holder)) return false;
    return true;
  }

  #exhausted(holder: ConnectionHolder, why: string, cause?: unknown): PoolExhaustedError {
    const holders = this.holders();
    const list = holders.map(
      (one) =>
        `\n  - ${one.label}, for ${one.heldFor} ms${one.waiting ? ', waiting for a second one' : ''}${
          one.lastStatement === null ? '' : `: ${one.lastStatement}`
        }`,
    );
    return new PoolExhaustedError(
      `${holder.label} got no connection of data source "${this.name}" (pool of ${this.#provider.poolSize}): ${why}. ` +
        `Raise the pool size, shorten the transactions, or do without REQUIRES_NEW inside them. Held now by:${
          list.length === 0 ? ' nobody known to this library' : list.join('')
        }`,
      holders,
      cause === undefined ? undefined : { cause },
    );
  }

  /**
   * Runs statements on a connection of their own, outside every transaction: reads.
   * @throws the typed error for what the server said
   */
  async borrow(statements: readonly Statement[], holder: ConnectionHolder): Promise<StatementResult[]> {
    const connection = await this.acquire(holder);
    try {
      return await connection.run(statements);
    } catch (error) {
      throw this.translate(error, statements);
    } finally {
      connection.release();
    }
  }

  /** The typed error for a failed batch, with the application's own wrapper as its cause. */
  translate(error: unknown, statements: readonly Statement[]): unknown {
    if (!(error instanceof BatchFailure)) return error;
    if (error.connectionLost) return this.connectionLost(error.driverError);
    const failed = statements[error.index] ?? statements.at(-1);
    const explained = failed?.explain?.(error.driverError) ?? null;
    if (explained !== null) return explained;
    return toDatabaseError(
      error.driverError,
      failed === undefined ? error.driverError : this.#provider.queryFailed(failed, error.driverError),
    );
  }

  /** The error for a connection that ended while it was in use. */
  connectionLost(reason: Error, knownAborted = false): ConnectionLostError {
    return new ConnectionLostError(
      `The connection to data source "${this.name}" was lost (${reason.message}). The server rolls back what was not committed; run the work again.`,
      { cause: reason },
      knownAborted,
    );
  }

  /**
   * Asks one question on a connection outside the pool, for what must not wait for a pooled one.
   * @returns the rows
   */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- a row's shape is known to whoever wrote the SQL
  async askAside(text: string, values: readonly unknown[] = []): Promise<any[]> {
    const client = new this.#provider.pg.Client(this.#provider.clientOptions());
    client.on('error', () => undefined);
    await client.connect();
    try {
      return (await client.query(text, values)).rows;
    } finally {
      await client.end();
    }
  }
}
