import type { DataSource } from 'typeorm';
import { Database } from '../database/database.js';
import { UnknownDataSourceError } from '../errors/module-errors.js';
import { DataSourceConnections } from '../typeorm/data-source-connections.js';
import { isDataSource } from '../typeorm/data-source-token.js';
import { JoinedDataSource } from '../typeorm/joining/joined-data-source.js';
import { subscriberEvents } from '../typeorm/joining/subscriber-events.js';
import type { ServedDataSource, UowApplication } from './uow-application.js';
import { resolveOptions } from './uow-module-options.js';
import type { UowOptions } from './uow-module-options.js';

/**
 * Sets up one data source for an application: its database, its place in the transaction manager, and the
 * joining of plain TypeORM code.
 *
 * @param name that tokens and `@Transactional({ dataSource })` use
 * @param found what Nest found under the data source's token
 * @throws UnknownDataSourceError when that is no data source
 */
export function serveDataSource(
  application: UowApplication,
  name: string,
  found: unknown,
  given: UowOptions,
): ServedDataSource {
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
  const served: ServedDataSource = {
    name,
    dataSource,
    database,
    joined,
    options,
    close: () => Promise.resolve(),
  };
  application.serve(served);
  const observe = (): void => {
    application.manager.observe(
      database,
      subscriberEvents(dataSource, (transaction) => joined.runnerOf(transaction)),
    );
    application.checkActiveRecords();
  };
  joined.install(served.close, observe);
  if (dataSource.isInitialized) observe();
  return served;
}
