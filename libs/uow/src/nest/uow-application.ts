import type { DataSource } from 'typeorm';
import type { Database } from '../database/database.js';
import type { Report } from '../diagnostics/report.js';
import { DuplicateDataSourceError } from '../errors/module-errors.js';
import type { TransactionManager } from '../transaction/transaction-manager.js';
import type { JoinedDataSource } from '../typeorm/joining/joined-data-source.js';
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

  constructor(
    readonly manager: TransactionManager,
    readonly report: Report,
  ) {
    this.units = new RequestUnits(report, (context) =>
      [...this.#served.values()].some(
        (one) => one.database === context.database && one.options.abortOnDisconnect,
      ),
    );
    this.http = new HttpContext(manager, this.units);
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

  serve(source: ServedDataSource): void {
    this.#served.set(source.name, source);
    this.manager.add(source.database);
  }

  /** Closes the sessions of every data source and takes the joining back. */
  async shutdown(): Promise<void> {
    for (const source of this.#served.values()) {
      await source.close();
      source.joined.undo();
    }
  }
}
