import { AsyncLocalStorage } from 'node:async_hooks';
import { DataSource } from 'typeorm';
import type { QueryRunner, ReplicationMode, EntityManager } from 'typeorm';
import type { Database } from '../../database/database.js';
import type { Report } from '../../diagnostics/report.js';
import { ForeignDataSourceError } from '../../errors/module-errors.js';
import { ambientContext, ambientTransaction, transactionElsewhere } from '../../transaction/ambient.js';
import type { PhysicalTransaction } from '../../transaction/physical-transaction.js';
import type { JoinedWrite } from '../../transaction/transaction-synchronization.js';
import type { TransactionOptions } from '../../transaction/transaction-definition.js';
import type { DataSourceConnections } from '../data-source-connections.js';
import { createJoinedRunner } from './joined-query-runner.js';
import type { JoinedRunnerHost, WriteDetection } from './joined-query-runner.js';
import { createLateRunner } from './late-query-runner.js';
import { WrittenTables } from './written-table.js';

/**
 * Plain TypeORM code over one data source joins the transaction of the running code: repositories, entity
 * managers, query builders, `dataSource.query`. Only this data source and its managers are touched, by
 * properties of their own; TypeORM's prototypes stay as they are, and `undo()` takes the properties away.
 *
 * The data source keeps its `createQueryRunner()`: the way out of the transaction. What looks for a
 * connection inside TypeORM (`save`, `remove`, builders) is run on a stand-in of the data source, which
 * inherits everything from it but `createQueryRunner`.
 */

/** Runs a nested piece of work in the transaction of the running code. */
export type RunNested = <T>(options: TransactionOptions, work: () => Promise<T>) => Promise<T>;

type Callback = (manager: EntityManager) => Promise<unknown>;

// Methods of EntityManager that make a connection's worth of work of their own.
const PERSISTING = ['save', 'remove', 'softRemove', 'recover'] as const;
// Methods that keep or pass on the runner which they read from the manager.
const READING_RUNNER = ['getRepository', 'getTreeRepository', 'createQueryBuilder', 'create'] as const;

/** Applications that were given one and the same data source object each look for their own transaction. */
const joinings = new WeakMap<DataSource, JoinedDataSource[]>();

/** TypeORM's own `dataSource.transaction()` that the running code is in, outside every scope. */
const ownTransaction = new AsyncLocalStorage<DataSource>();

export class JoinedDataSource implements JoinedRunnerHost {
  readonly #dataSource: DataSource;
  readonly #database: Database;
  readonly #connections: DataSourceConnections;
  readonly #runNested: RunNested;
  readonly #report: Report;
  readonly #writtenTables: WrittenTables;
  readonly #touched: { readonly object: object; readonly keys: string[] }[] = [];
  readonly #ambient: Record<WriteDetection, DataSource>;
  readonly #warned = new WeakSet<PhysicalTransaction>();
  #masked = false;
  #beforeDestroy: () => Promise<void> = () => Promise.resolve();
  #afterInitialize: () => void = () => undefined;

  /**
   * @param runNested runs `dataSource.transaction()` inside a transaction of this library
   * @param report takes warnings
   */
  constructor(
    dataSource: DataSource,
    database: Database,
    connections: DataSourceConnections,
    runNested: RunNested,
    report: Report,
  ) {
    this.#dataSource = dataSource;
    this.#database = database;
    this.#connections = connections;
    this.#runNested = runNested;
    this.#report = report;
    this.#writtenTables = new WrittenTables(dataSource);
    this.#ambient = { statement: this.#standIn('statement'), event: this.#standIn('event') };
  }

  /**
   * Makes the data source and its managers join.
   *
   * @param beforeDestroy called before the data source closes its connections
   * @param afterInitialize called when the data source has been initialized after this
   */
  install(beforeDestroy: () => Promise<void>, afterInitialize: () => void): void {
    this.#beforeDestroy = beforeDestroy;
    this.#afterInitialize = afterInitialize;
    const all = joinings.get(this.#dataSource);
    if (all === undefined) joinings.set(this.#dataSource, [this]);
    else all.push(this);
    if (all === undefined || all.length === 1) this.#touch();
  }

  /** Takes every change back; the data source is as TypeORM made it. */
  undo(): void {
    const all = joinings.get(this.#dataSource) ?? [];
    const index = all.indexOf(this);
    if (index === -1) return;
    all.splice(index, 1);
    if (this.#touched.length === 0) return;
    for (const { object, keys } of this.#touched.splice(0)) {
      for (const key of keys) Reflect.deleteProperty(object, key);
    }
    const [next] = all;
    if (next !== undefined) next.#touch();
  }

  #touch(): void {
    const dataSource = this.#dataSource;
    const ambient = this.#ambient.statement;
    const all = (): readonly JoinedDataSource[] => joinings.get(dataSource) ?? [];
    this.#override(dataSource, {
      query: (...args: Parameters<DataSource['query']>) => DataSource.prototype.query.apply(ambient, args),
      createQueryBuilder: (...args: unknown[]) =>
        (DataSource.prototype.createQueryBuilder as (...args: unknown[]) => unknown).apply(ambient, args),
      createEntityManager: (queryRunner?: QueryRunner) => {
        const manager = DataSource.prototype.createEntityManager.call(dataSource, queryRunner);
        if (queryRunner === undefined) this.#joinManager(manager);
        return manager;
      },
      initialize: async () => {
        await DataSource.prototype.initialize.call(dataSource);
        for (const one of all()) one.#afterInitialize();
        return dataSource;
      },
      destroy: async () => {
        // It waits for connections that open sessions hold.
        for (const one of all()) await one.#beforeDestroy();
        await DataSource.prototype.destroy.call(dataSource);
      },
    });
    this.#joinManager(dataSource.manager);
  }

  // What joined runners are made with.

  createBareRunner(): QueryRunner {
    return this.#dataSource.driver.createQueryRunner('master');
  }

  createManager(runner: QueryRunner): EntityManager {
    const manager = DataSource.prototype.createEntityManager.call(this.#dataSource, runner);
    // Its `save` and `remove` name the rows that they wrote, which the runner itself cannot see.
    const persisting = (): EntityManager =>
      Object.create(manager, {
        queryRunner: { value: this.#open()?.runner('event') ?? runner },
      }) as EntityManager;
    for (const method of PERSISTING) {
      this.#override(
        manager,
        {
          [method]: (...args: unknown[]) => call(manager, method, writesNameRows(args) ? persisting() : manager, args),
        },
        false,
      );
    }
    this.#override(manager, { transaction: (...args: unknown[]) => this.#transaction(manager, args) }, false);
    return manager;
  }

  alreadyLogged(values: readonly unknown[]): readonly unknown[] {
    return this.#connections.alreadyLogged(values);
  }

  writesOf(sql: string): readonly JoinedWrite[] {
    return this.#writtenTables.of(sql);
  }

  #standIn(detection: WriteDetection): DataSource {
    const real = this.#dataSource;
    const standIn = Object.create(real) as DataSource;
    const own: Partial<Record<keyof DataSource, unknown>> = {
      createQueryRunner: (mode?: ReplicationMode) => this.#createQueryRunner(mode, detection),
    };
    // These write on the data source, which must be the real one.
    for (const method of [
      'initialize',
      'destroy',
      'setOptions',
      'synchronize',
      'dropDatabase',
      'runMigrations',
      'undoLastMigration',
      'showMigrations',
    ] as const) {
      own[method] = (...args: unknown[]) => (real[method] as (...args: unknown[]) => unknown).apply(real, args);
    }
    return Object.assign(standIn, own);
  }

  #joinManager(manager: EntityManager): void {
    const ambient = (detection: WriteDetection): EntityManager => {
      const dataSource = { value: this.#ambient[detection] };
      // TypeORM 0.3 calls the field `connection`.
      return Object.create(manager, {
        dataSource,
        connection: dataSource,
        queryRunner: { value: undefined, writable: true },
      }) as EntityManager;
    };
    const joining = { event: ambient('event'), statement: ambient('statement') };
    const overrides: Record<string, (...args: unknown[]) => unknown> = {
      clear: (...args) => call(manager, 'clear', joining.statement, args),
      transaction: (...args) => this.#transaction(manager, args),
    };
    for (const method of PERSISTING) {
      overrides[method] = (...args) =>
        call(manager, method, writesNameRows(args) ? joining.event : joining.statement, args);
    }
    for (const method of READING_RUNNER) {
      overrides[method] = (...args) => this.#withoutRunner(() => call(manager, method, manager, args));
    }
    this.#override(manager, overrides);
    const kept = new WeakMap<PhysicalTransaction, QueryRunner>();
    Object.defineProperty(manager, 'queryRunner', {
      configurable: true,
      get: () => {
        if (this.#masked) return undefined;
        const open = this.#open();
        if (open === null) return undefined;
        let runner = kept.get(open.transaction);
        if (runner === undefined) {
          runner = open.runner('statement');
          kept.set(open.transaction, runner);
        }
        return runner;
      },
    });
    this.#touched.push({ object: manager, keys: ['queryRunner'] });
  }

  #withoutRunner<T>(fn: () => T): T {
    const before = this.#masked;
    this.#masked = true;
    try {
      return fn();
    } finally {
      this.#masked = before;
    }
  }

  #override(object: object, members: Record<string, (...args: never[]) => unknown>, undoable = true): void {
    for (const [key, value] of Object.entries(members)) {
      Object.defineProperty(object, key, {
        value,
        configurable: true,
        enumerable: false,
        writable: true,
      });
    }
    if (undoable) this.#touched.push({ object, keys: Object.keys(members) });
  }

  /** The transaction that the running code is in, with a way to make runners of it. */
  #open(): OpenTransaction | null {
    for (const joined of joinings.get(this.#dataSource) ?? []) {
      const transaction = ambientTransaction(joined.#database);
      if (transaction === null) continue;
      if (ownTransaction.getStore() === this.#dataSource) this.#warnOfOwn(transaction);
      return { transaction, runner: (detection) => joined.runnerOf(transaction, detection) };
    }
    return null;
  }

  /** Whoever passes a manager around may expect it to be ambient, which it is not. */
  #warnOfOwn(transaction: PhysicalTransaction): void {
    if (process.env['NODE_ENV'] === 'production' || this.#warned.has(transaction)) return;
    this.#warned.add(transaction);
    this.#report({
      code: 'UOW_WARN_SEPARATE_TRANSACTION',
      message:
        `${transaction.label} was called inside dataSource.transaction(), which is not ambient: it has a transaction of its own, and the two are committed apart. ` +
        `Make the outer one @Transactional() or TransactionManager.run(), or keep to the manager that the callback gets.`,
    });
  }

  /** A query runner whose work is done in the transaction. */
  runnerOf(transaction: PhysicalTransaction, detection: WriteDetection = 'statement'): QueryRunner {
    return createJoinedRunner(this, transaction, detection);
  }

  #createQueryRunner(mode: ReplicationMode | undefined, detection: WriteDetection): QueryRunner {
    const open = this.#open();
    if (open !== null) return open.runner(detection);
    this.#checkForeign();
    const own = DataSource.prototype.createQueryRunner.call(this.#dataSource, mode);
    const context = ambientContext(this.#database);
    if (context?.synchronization?.beforeStatement === undefined) return own;
    return createLateRunner(own, async () => {
      await context.flushPending();
      return this.#open()?.runner(detection) ?? null;
    });
  }

  async #transaction(manager: EntityManager, args: unknown[]): Promise<unknown> {
    const [first, second] = args;
    const isolation = typeof first === 'string' ? first : undefined;
    const work = (typeof first === 'function' ? first : second) as Callback | undefined;
    const open = work === undefined ? null : this.#open();
    if (work === undefined || open === null) return await this.#ownTransaction(manager, args);
    return await this.#runNested(
      {
        propagation: 'NESTED',
        label: 'dataSource.transaction()',
        ...(isolation === undefined
          ? undefined
          : { isolation: isolation as NonNullable<TransactionOptions['isolation']> }),
      },
      async () => await work((this.#open() ?? open).runner('statement').manager),
    );
  }

  async #ownTransaction(manager: EntityManager, args: unknown[]): Promise<unknown> {
    this.#checkForeign();
    return await ownTransaction.run(this.#dataSource, () =>
      call(
        manager,
        'transaction',
        Object.create(manager, { queryRunner: { value: undefined } }) as EntityManager,
        args,
      ),
    );
  }

  /** Option `joining`: a statement outside the transaction that another data source has open. */
  #checkForeign(): void {
    const { joining } = this.#database.options;
    if (joining === 'auto') return;
    const other = transactionElsewhere(this.#database);
    if (other === null) return;
    const message =
      `A TypeORM query on data source "${this.#database.name}" runs outside the transaction of ${other.label}, which is on data source "${other.database.name}": ` +
      `it is neither committed nor rolled back with it. Open a transaction on "${this.#database.name}" too, or use the right repository.`;
    if (joining === 'mandatory') throw new ForeignDataSourceError(message);
    this.#report({ code: 'UOW_WARN_FOREIGN_DATA_SOURCE', message });
  }
}

interface OpenTransaction {
  readonly transaction: PhysicalTransaction;
  runner(detection: WriteDetection): QueryRunner;
}

function call(manager: EntityManager, method: string, self: EntityManager, args: unknown[]): unknown {
  const implementation = (Object.getPrototypeOf(manager) as Record<string, (...args: unknown[]) => unknown>)[method];
  return (implementation as (...args: unknown[]) => unknown).apply(self, args);
}

/** `listeners: false` silences the events by which `save` and `remove` name their rows. */
function writesNameRows(args: readonly unknown[]): boolean {
  const options = args.at(-1);
  return !(
    args.length > 1 &&
    typeof options === 'object' &&
    options !== null &&
    (options as { listeners?: boolean }).listeners === false
  );
}
