import { AsyncLocalStorage } from 'node:async_hooks';
import { QueryFailedError } from 'typeorm';
import type { DataSource } from 'typeorm';
import type { ConnectionProvider, PgClient, PgModule } from '../database/pg-driver.js';
import type { Statement } from '../database/statement.js';
import { UnsupportedDataSourceError } from '../errors/module-errors.js';

/**
 * Connections out of the pool of a TypeORM data source. `pg`, its type parsers and the pool are the
 * application's own; this library adds none.
 */

type Release = (error?: Error | boolean) => void;

interface Pool {
  readonly options: { readonly max?: number; readonly password?: unknown };
  readonly idleCount: number;
  readonly totalCount: number;
  readonly waitingCount: number;
  connect(callback: (error: Error | undefined, client: PgClient, release: Release) => void): void;
}

interface PostgresDriver {
  readonly postgres: PgModule;
  readonly master: Pool | undefined;
  readonly version?: string;
}

/** pg-pool's own default. */
const DEFAULT_POOL_SIZE = 10;

export class DataSourceConnections implements ConnectionProvider {
  readonly #dataSource: DataSource;
  #version: { readonly text: string | undefined; readonly number: number } = { text: undefined, number: 0 };
  readonly #logged = new WeakSet<readonly unknown[]>();
  // A socket keeps the async context in which it was opened; it must not be a request's.
  readonly #outside = AsyncLocalStorage.snapshot();

  /**
   * @param dataSource a data source for PostgreSQL; it may be initialized later
   * @throws UnsupportedDataSourceError for another database
   */
  constructor(dataSource: DataSource) {
    if (dataSource.options.type !== 'postgres') {
      throw new UnsupportedDataSourceError(
        `The data source given to UowModule is for "${dataSource.options.type}". Sessions and transactions of this library need PostgreSQL: give it a data source of type "postgres".`,
      );
    }
    this.#dataSource = dataSource;
  }

  get #driver(): PostgresDriver {
    return this.#dataSource.driver as unknown as PostgresDriver;
  }

  get #pool(): Pool {
    const pool = this.#driver.master;
    if (pool === undefined) {
      throw new UnsupportedDataSourceError(
        'The data source has no connections yet, or no more. Await dataSource.initialize() before using it, and use nothing after destroy().',
      );
    }
    return pool;
  }

  get pg(): PgModule {
    return this.#driver.postgres;
  }

  get poolSize(): number {
    return this.#pool.options.max ?? DEFAULT_POOL_SIZE;
  }

  connect(): Promise<[PgClient, Release]> {
    return new Promise((resolve, reject) => {
      const pool = this.#pool;
      const take = (): void => {
        pool.connect((error, client, release) => {
          if (error) reject(error);
          else resolve([client, release]);
        });
      };
      // One that is idle, and that nobody waits for, is taken before anything else can happen to it: no socket is opened.
      if (pool.idleCount > 0 && pool.waitingCount === 0) take();
      else this.#outside(take);
    });
  }

  hasIdle(): boolean {
    const { idleCount, totalCount, waitingCount } = this.#pool;
    return waitingCount === 0 && (idleCount > 0 || totalCount < this.poolSize);
  }

  clientOptions(): object {
    const { options } = this.#pool;
    // The pool keeps the password out of enumeration.
    return { ...options, password: options.password };
  }

  queryFailed(statement: Statement, driverError: Error): Error {
    return new QueryFailedError(
      statement.text,
      statement.values === undefined ? undefined : [...statement.values],
      driverError,
    );
  }

  /** Leaves the statement with these values out of the log here, because TypeORM's own runner has logged it. */
  alreadyLogged(values: readonly unknown[]): readonly unknown[] {
    this.#logged.add(values);
    return values;
  }

  logQuery(statement: Statement): void {
    if (this.#isLogged(statement)) return;
    this.#dataSource.logger.logQuery(statement.text, parametersOf(statement));
  }

  logQueryError(error: Error, statement: Statement): void {
    if (this.#isLogged(statement)) return;
    this.#dataSource.logger.logQueryError(error, statement.text, parametersOf(statement));
  }

  #isLogged({ values }: Statement): boolean {
    return values !== undefined && this.#logged.has(values);
  }

  serverVersion(): number {
    const { version } = this.#driver;
    if (version !== this.#version.text) this.#version = { text: version, number: versionNumber(version) };
    return this.#version.number;
  }

  prepareValue(value: unknown): unknown {
    return this.pg.utils === undefined ? value : this.pg.utils.prepareValue(value);
  }
}

function versionNumber(text: string | undefined): number {
  const [major, minor] = (text ?? '').split('.').map(Number);
  if (major === undefined || !Number.isInteger(major)) return 0;
  return major * 10_000 + (minor !== undefined && Number.isInteger(minor) ? minor : 0);
}

function parametersOf(statement: Statement): unknown[] {
  return statement.values === undefined ? [] : [...statement.values];
}
