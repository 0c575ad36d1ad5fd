import { DataSource } from 'typeorm';
import type { DataSourceOptions, MixedList, EntitySchema } from 'typeorm';
import { Database } from '../../libs/uow/src/database/database.js';
import type { DatabaseOptions } from '../../libs/uow/src/database/database-options.js';
import type { Report } from '../../libs/uow/src/diagnostics/report.js';
import { SessionSource } from '../../libs/uow/src/session/session-source.js';
import { TransactionManager } from '../../libs/uow/src/transaction/transaction-manager.js';
import { DataSourceConnections } from '../../libs/uow/src/typeorm/data-source-connections.js';
import { CompiledMappings } from '../../libs/uow/src/typeorm/entity-mappings.js';
import type { EntityPolicyEntry } from '../../libs/uow/src/typeorm/entity-mappings.js';
import { FindQueries } from '../../libs/uow/src/typeorm/find-queries.js';
import { serveLazyRelations } from '../../libs/uow/src/typeorm/lazy-relations.js';
import { createTestDatabase } from '../support/test-database.js';
import type { TestDatabase } from '../support/test-database.js';
import { triedOptions } from '../support/tried-options.js';
import { startWireProxy } from '../support/wire-proxy.js';
import type { WireProxy } from '../support/wire-proxy.js';

/** A session's surroundings without Nest: a database of the test's own, and everything sent to it on record. */
export class SessionUnderTest {
  readonly reports: Parameters<Report>[0][] = [];

  private constructor(
    readonly database: TestDatabase,
    readonly proxy: WireProxy,
    readonly dataSource: DataSource,
    readonly core: Database,
    readonly source: SessionSource,
    readonly manager: TransactionManager,
    reports: Parameters<Report>[0][],
  ) {
    this.reports = reports;
  }

  static async start(given: {
    readonly entities: MixedList<Function | string | EntitySchema>;
    readonly schema?: string;
    readonly options?: Partial<DatabaseOptions>;
    readonly policies?: readonly EntityPolicyEntry[];
    readonly dataSource?: Partial<DataSourceOptions>;
  }): Promise<SessionUnderTest> {
    const database = await createTestDatabase(given.schema === undefined ? {} : { schema: given.schema });
    const proxy = await startWireProxy(database);
    const dataSource = new DataSource({
      ...proxy.typeorm,
      entities: given.entities,
      synchronize: given.schema === undefined,
      ...given.dataSource,
    } as DataSourceOptions);
    await dataSource.initialize();
    const reports: Parameters<Report>[0][] = [];
    const core = new Database(
      'default',
      new DataSourceConnections(dataSource),
      { ...triedOptions, ...given.options },
      (report) => {
        reports.push(report);
      },
    );
    const manager = new TransactionManager();
    manager.add(core);
    const mappings = new CompiledMappings(
      dataSource,
      'default',
      given.policies ?? [],
      (given.options?.staleCheck ?? 'on') === 'on',
    );
    await mappings.learnTableTypes();
    const source = new SessionSource(core, mappings, new FindQueries(dataSource, mappings), manager);
    serveLazyRelations(dataSource, (entity, path) => source.loadLazily(entity, path));
    return new SessionUnderTest(database, proxy, dataSource, core, source, manager, reports);
  }

  get factory(): SessionSource['factory'] {
    return this.source.factory;
  }

  get session(): SessionSource['injected'] {
    return this.source.injected;
  }

  /** SQL that reached the server since the last call. */
  sent(): string[] {
    const texts = [...this.proxy.sql];
    this.proxy.clear();
    return texts;
  }

  /** As `sent`, without BEGIN, COMMIT, ROLLBACK, savepoints and the reading of transaction ids. */
  statements(): string[] {
    return this.sent().filter((sql) => !BESIDE_THE_WORK.test(sql));
  }

  async stop(): Promise<void> {
    await this.factory.closeAll();
    await this.dataSource.destroy();
    await this.proxy.close();
    await this.database.drop();
  }
}

const BESIDE_THE_WORK = /^(BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|SELECT pg_current_xact_id)/;
