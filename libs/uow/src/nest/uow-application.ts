import type { DataSource } from 'typeorm';
import type { Database } from '../database/database.js';
import type { Report } from '../diagnostics/report.js';
import { DuplicateDataSourceError } from '../errors/module-errors.js';
import type { SessionSource } from '../session/session-source.js';
import type { TransactionOptions } from '../transaction/transaction-definition.js';
import type { TransactionManager } from '../transaction/transaction-manager.js';
import type { JoinedDataSource } from '../typeorm/joining/joined-data-source.js';
import { refuseSharedActiveRecords } from '../typeorm/joining/shared-active-records.js';
import { HttpContext } from './http-context.js';
import { RequestUnits } from './request-units.js';
import type { ResolvedUowOptions } from './uow-module-options.js';

/** One data source as `UowModule.forRoot()` has set it up. */
export interface ServedDataSource {
  readonly name: string;
  readonly dataSource: DataSource;
  readonly database: Database;
  readonly joined: JoinedDataSource;
  readonly options: ResolvedUowOptions;
  readonly sessions: SessionSource;
  /** Looks again at what the data source has by now: entities, subscribers. Nothing before it is initialized. */
  readonly look: () => void;
  /** Closes what is open; called before the data source goes. */
  readonly close: () => Promise<void>;
}

/**
 * What one Nest application has of this library: its transaction manager, its data sources by name, and what
 * is installed once. There is no registry above it.
 */
export class UowApplication {
  readonly units: RequestUnits;
  readonly http: HttpContext;
  readonly #served = new Map<string, ServedDataSource>();
  readonly #reserved = new Set<string>();
  readonly #activeRecords: (() => void)[] = [];
  #hasInterceptor = false;

  constructor(
    readonly manager: TransactionManager,
    readonly report: Report,
  ) {
    this.units = new RequestUnits(report);
    this.http = new HttpContext(manager, this.units, report);
  }

  /** The data sources, in the order of their registration. */
  get served(): readonly ServedDataSource[] {
    return [...this.#served.values()];
  }

  /**
   * Takes a name for a data source.
   * @throws DuplicateDataSourceError when the application has one of that name
   */
  reserve(name: string): void {
    if (this.#reserved.has(name)) {
      throw new DuplicateDataSourceError(
        `UowModule.forRoot() was called twice for the data source "${name}" in one application. Call it once per data source, and give the second one a name: UowModule.forRoot({ name: 'reports', dataSource: 'reports' }).`,
      );
    }
    this.#reserved.add(name);
  }

  /**
   * Takes a data source in.
   * @throws DuplicateDataSourceError when the application has it under another name
   */
  serve(source: ServedDataSource): void {
    const same = this.served.find((one) => one.dataSource === source.dataSource);
    if (same !== undefined) {
      throw new DuplicateDataSourceError(
        `UowModule.forRoot() was given one data source twice, as "${same.name}" and as "${source.name}". Call it once per data source.`,
      );
    }
    this.#served.set(source.name, source);
    const { transaction, abortOnDisconnect } = source.options;
    const defaults: TransactionOptions = { ...transaction };
    if (abortOnDisconnect && transaction.signal === undefined) {
      // Read when a root scope begins: it is the signal of the request that the scope runs in.
      Object.defineProperty(defaults, 'signal', {
        enumerable: true,
        get: () => this.units.disconnectSignal(this.manager),
      });
    }
    this.manager.add(source.database, defaults);
  }

  /** Refuses the statics of active records that two of the data sources share. */
  checkActiveRecords(): void {
    for (const undo of this.#activeRecords.splice(0).reverse()) undo();
    const ready = this.served.filter((one) => one.dataSource.isInitialized);
    for (const [index, one] of ready.entries()) {
      for (const other of ready.slice(index + 1)) {
        this.#activeRecords.push(refuseSharedActiveRecords(one, other));
      }
    }
  }

  /** Gives the interceptor to the first data source that needs it, so that it is registered once. */
  interceptOnce<T>(interceptor: T): T | undefined {
    if (this.#hasInterceptor) return undefined;
    this.#hasInterceptor = true;
    return interceptor;
  }

  /** Closes the sessions of every data source and takes the joining back. */
  async shutdown(): Promise<void> {
    for (const undo of this.#activeRecords.splice(0).reverse()) undo();
    for (const source of this.#served.values()) {
      await source.close();
      source.joined.undo();
      this.manager.remove(source.database);
    }
  }
}
