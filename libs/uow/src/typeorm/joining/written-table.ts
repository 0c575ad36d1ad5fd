import type { DataSource, EntityMetadata } from 'typeorm';
import type { JoinedWrite } from '../../transaction/transaction-synchronization.js';

/**
 * What a statement that TypeORM's builders made writes to. Their SQL is regular (`UPDATE "schema"."table" SET`),
 * so its first words tell; the SQL of others is not interpreted.
 */
const WRITE =
  /^\s*(?:WITH\b[\s\S]*?\)\s*)?(INSERT INTO|UPDATE|DELETE FROM)\s+((?:"[^"]+"|[\w$]+)(?:\.(?:"[^"]+"|[\w$]+))*)/i;

const KINDS: Readonly<Record<string, JoinedWrite['kind']>> = {
  'INSERT INTO': 'insert',
  UPDATE: 'update',
  'DELETE FROM': 'delete',
};

/** Finds which entities a builder's statement writes, for one data source. */
export class WrittenTables {
  readonly #dataSource: DataSource;
  #byTable: Map<string, EntityMetadata[]> | null = null;

  constructor(dataSource: DataSource) {
    this.#dataSource = dataSource;
  }

  /**
   * @param sql made by a builder
   * @returns a write for each entity of the table (several share one under single-table inheritance); nothing
   * for reads, and for inserts that cannot touch a row that exists
   */
  of(sql: string): JoinedWrite[] {
    const match = WRITE.exec(sql);
    if (match === null) return [];
    const [, verb = '', table = ''] = match;
    const kind = KINDS[verb.toUpperCase()];
    if (kind === undefined || (kind === 'insert' && !/\bON CONFLICT\b/i.test(sql))) return [];
    return this.#entities(table.replaceAll('"', '')).map(({ target }) => ({ kind, target }));
  }

  #entities(path: string): readonly EntityMetadata[] {
    if (this.#byTable === null) {
      const byTable = new Map<string, EntityMetadata[]>();
      for (const metadata of this.#dataSource.entityMetadatas) {
        const found = byTable.get(metadata.tablePath);
        if (found === undefined) byTable.set(metadata.tablePath, [metadata]);
        else found.push(metadata);
      }
      this.#byTable = byTable;
    }
    return this.#byTable.get(path) ?? [];
  }
}
