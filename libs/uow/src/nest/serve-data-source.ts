import type { DataSource } from 'typeorm';
import { Database } from '../database/database.js';
import type { EntityMappings } from '../database/entity-mapping.js';
import type { Report } from '../diagnostics/report.js';
import { UnknownDataSourceError } from '../errors/module-errors.js';
import { SessionSource } from '../session/session-source.js';
import { DataSourceConnections } from '../typeorm/data-source-connections.js';
import { isDataSource } from '../typeorm/data-source-token.js';
import type { EntityPolicyEntry } from '../typeorm/entity-mappings.js';
import { CompiledMappings } from '../typeorm/entity-mappings.js';
import { FindQueries } from '../typeorm/find-queries.js';
import { serveLazyRelations } from '../typeorm/lazy-relations.js';
import { JoinedDataSource } from '../typeorm/joining/joined-data-source.js';
import { subscriberEvents } from '../typeorm/joining/subscriber-events.js';
import type { ServedDataSource, UowApplication } from './uow-application.js';
import { resolveOptions } from './uow-module-options.js';
import type { EntityOptions, UowOptions } from './uow-module-options.js';

/**
 * Sets up one data source for an application: its database, its place in the transaction manager, and the
 * joining of plain TypeORM code.
 *
 * @param name that tokens and `@Transactional({ dataSource })` use
 * @param found what Nest found under the data source's token
 * @throws UnknownDataSourceError when that is no data source
 */
export async function serveDataSource(
  application: UowApplication,
  name: string,
  found: unknown,
  given: UowOptions,
): Promise<ServedDataSource> {
  if (!isDataSource(found)) {
    throw new UnknownDataSourceError(
      `UowModule found no TypeORM data source for "${name}". Import TypeOrmModule.forRoot(…) beside it, or the module that provides the DataSource in forRoot({ imports }), or hand it over: forRoot({ dataSource }).`,
    );
  }
  const dataSource: DataSource = found;
  const options = resolveOptions(given, dataSource);
  const connections = new DataSourceConnections(dataSource);
  const database = new Database(name, connections, options.database, application.report);
  const joined = new JoinedDataSource(
    dataSource,
    database,
    connections,
    (transaction, work) => {
      // Inside a read-only scope it is one too; asking for more would be refused.
      const readOnly = application.manager.current()?.readOnly === true;
      return application.manager.run(
        { ...transaction, ...(readOnly ? { readOnly } : undefined), dataSource: name },
        work,
      );
    },
    application.report,
  );
  const mappings = new CompiledMappings(
    dataSource,
    name,
    options.entities.map(policyOf),
    options.database.staleCheck !== 'off',
  );
  if (dataSource.isInitialized) await learnTableTypes(mappings, name, application.report);
  const sessions = new SessionSource(database, mappings, new FindQueries(dataSource, mappings), application.manager);
  const takeLazyRelationsBack = serveLazyRelations(dataSource, (entity, path) => sessions.loadLazily(entity, path));
  const served: ServedDataSource = {
    name,
    dataSource,
    database,
    joined,
    options,
    sessions,
    look: () => {
      if (!dataSource.isInitialized) return;
      application.manager.observe(
        database,
        subscriberEvents(dataSource, (transaction) => joined.runnerOf(transaction)),
      );
      application.checkActiveRecords();
    },
    close: async () => {
      reportOpen(database, application.report);
      await sessions.factory.closeAll();
      takeLazyRelationsBack();
    },
  };
  application.serve(served);
  const look = (): void => {
    served.look();
    reportUnsupported(name, mappings, application.report);
  };
  joined.install(served.close, look);
  if (dataSource.isInitialized) look();
  return served;
}

function policyOf({ target, staleCheck, confirmRows }: EntityOptions): EntityPolicyEntry {
  return {
    target,
    ...(staleCheck === undefined ? undefined : { staleCheck: staleCheck === 'on' }),
    ...(confirmRows === undefined ? undefined : { confirmRows }),
  };
}

/** Without them sessions rely on what the metadata says, as they do for tables that are made later. */
async function learnTableTypes(mappings: CompiledMappings, name: string, report: Report): Promise<void> {
  try {
    await mappings.learnTableTypes();
  } catch (error) {
    report({
      code: 'UOW_WARN_TABLE_TYPES_UNKNOWN',
      message: `The column types of data source "${name}" could not be read (${(error as Error).message}). Sessions go by the types that the entities declare.`,
    });
  }
}

/** Sessions refuse such an entity at each use; who only has repositories of it should know once. */
function reportUnsupported(name: string, mappings: EntityMappings, report: Report): void {
  for (const { name: entity, unsupported } of mappings.all) {
    if (unsupported === null) continue;
    report({
      code: 'UOW_WARN_UNSUPPORTED_MAPPING',
      message: `Sessions of data source "${name}" do not support the entity ${entity}: ${unsupported}. Its repositories join transactions all the same.`,
    });
  }
}

/** Who still has a transaction open when the application ends probably forgot to end it. */
function reportOpen(database: Database, report: Report): void {
  const holders = database.holders();
  if (holders.length === 0) return;
  report({
    code: 'UOW_WARN_OPEN_AT_SHUTDOWN',
    message:
      `The application ends while transactions of data source "${database.name}" are open; those of sessions that DbSessionFactory opened are rolled back: ` +
      `${holders.map(({ label, heldFor }) => `${label}, for ${heldFor} ms`).join('; ')}. Close sessions that you open, or hold them with "await using".`,
  });
}
