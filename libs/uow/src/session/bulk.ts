import type { ColumnMapping, EntityMapping, IdentityKey } from '../database/entity-mapping.js';
import type { EntityQueries, MatchingKeys } from '../database/loading.js';
import type { Statement, StatementResult } from '../database/statement.js';
import { InvalidSessionOperationError } from '../errors/session-errors.js';
import { UpdateChange } from '../flush/change-set.js';
import { FlushExecutor } from '../flush/flush-executor.js';
import { planFlush } from '../flush/flush-planner.js';
import { bulkDeleteStatement, bulkUpdateStatement } from '../flush/sql/bulk.js';
import type { WantedRows } from '../flush/sql/bulk.js';
import { tableOrderOf } from '../flush/table-order.js';
import type { PhysicalTransaction } from '../transaction/physical-transaction.js';
import { bulkValues } from './bulk-values.js';
import { followDatabase } from './departures.js';
import { InsertPipeline } from './insert-pipeline.js';
import { InsertSlices, mayUpdate } from './insert-slices.js';
import type { InstanceState } from './instance-state.js';
import type { Reader } from './reader.js';
import type { UnitOfWork } from './unit-of-work.js';

/** What `bulkInsert` takes. */
export interface BulkInsertOptions {
  /**
   * What to do with rows that a unique constraint refuses: `'ignore'` leaves the existing row as it is; else the
   * row found by the properties `on` takes over the properties `update`, by default all that are given but `on`
   * and the key.
   */
  readonly onConflict?: 'ignore' | { readonly on: readonly string[]; readonly update?: readonly string[] };
  /** True to get the rows as objects of the session. */
  readonly returning?: boolean;
  /** With `returning`: overwrite objects that the session has of rows that were there. */
  readonly populateExisting?: boolean;
}

/** What `bulkUpdate` and `bulkDelete` take. */
export interface BulkOptions {
  /** False leaves the session's objects as they are, whatever was written to their rows. */
  readonly synchronize?: boolean;
  /** True to mean all rows; criteria without a condition are refused otherwise. */
  readonly all?: boolean;
  /** True to reach soft-deleted rows, too. */
  readonly withDeleted?: boolean;
}

interface BulkSession {
  autoflush(operation: string): Promise<void> | undefined;
  transactionFor(needs: 'write', operation: string): PhysicalTransaction | null;
}

/** Writes rows without an object for each, and brings the session's objects of those rows up to it. */
export class Bulk {
  readonly #session: BulkSession;
  readonly #unit: UnitOfWork;
  readonly #reader: Reader;
  readonly #queries: EntityQueries;

  constructor(session: BulkSession, unit: UnitOfWork, reader: Reader, queries: EntityQueries) {
    this.#session = session;
    this.#unit = unit;
    this.#reader = reader;
    this.#queries = queries;
  }

  /** One INSERT for each shape of rows, and for so many of them as a server takes easily. */
  async insert(
    mapping: EntityMapping,
    rows: readonly object[],
    options: BulkInsertOptions,
    operation: string,
  ): Promise<{ count: number; entities: object[] }> {
    this.#refuseView(mapping, operation);
    if (rows.length === 0) return { count: 0, entities: [] };
    // All rows are looked at before a transaction begins.
    const slices = new InsertSlices(mapping, rows, options, operation);
    const transaction = this.#writing(operation);
    const pipeline = new InsertPipeline(transaction, (statements) => this.#run(transaction, statements, operation));
    // One operation, between whose statements nothing of another branch comes.
    await transaction.exclusive(operation, () => pipeline.send(slices));
    const { results, places } = pipeline;
    const count = results.reduce((sum, result) => sum + (result.rowCount ?? 0), 0);
    // Which rows were there already is not told: what the session has of the table is read again.
    if (mayUpdate(options)) for (const state of this.#unit.identity.statesOf(mapping)) this.#unit.expire(state);
    const found: { readonly place: number; readonly entity: object }[] = [];
    if (options.returning === true) {
      results.forEach((result, at) => {
        for (const row of result.rows as unknown[][]) {
          const place = placeOf(places[at]!, row.pop());
          const entity = this.#reader.rows.absorbReturned(mapping, row, options.populateExisting === true);
          if (entity !== null) found.push({ place, entity });
        }
      });
      found.sort((a, b) => (a.place < b.place ? -1 : a.place > b.place ? 1 : 0));
    }
    return { count, entities: found.map(({ entity }) => entity) };
  }

  /** UPDATE by criteria. */
  async update(
    mapping: EntityMapping,
    where: object,
    set: object,
    options: BulkOptions,
    operation: string,
  ): Promise<number> {
    this.#refuseView(mapping, operation);
    const values = bulkValues(mapping, set, operation);
    const columns = mapping.columns.filter((column) => values[column.index] !== undefined);
    const refused = columns.find((column) => column.isKey || !column.updatable);
    if (refused !== undefined) {
      throw new InvalidSessionOperationError(
        `${operation}: ${mapping.name}.${refused.path} ${refused.isKey ? 'is its key' : 'is never updated'}; change it on the object instead.`,
      );
    }
    if (columns.length === 0) return 0;
    const matching = this.#matching(mapping, where, options, operation);
    await this.#session.autoflush(operation);
    const touched = [mapping.version, mapping.updateDate].filter((column) => column !== null);
    const wanted = this.#wanted(mapping, [...mapping.keyColumns, ...columns, ...touched], options);
    const statement = bulkUpdateStatement(
      mapping,
      matching,
      columns,
      columns.map((column) => values[column.index]),
      wanted,
    );
    const transaction = this.#session.transactionFor('write', operation)!;
    const [result] = await this.#send([statement], operation);
    if (wanted === null) return result!.rowCount ?? 0;
    this.#eachWritten(mapping, wanted, result!, (state, row, reader) => {
      this.#reader.rows.takeWritten(state, mapping, reader, row, transaction);
    });
    return countOf(result!);
  }

  /** UPDATE of rows by their keys, each with values of its own; a version that is given is checked and counts up. */
  async updateRows(mapping: EntityMapping, rows: readonly object[], operation: string): Promise<number> {
    this.#refuseView(mapping, operation);
    await this.#session.autoflush(operation);
    const changes: UpdateChange[] = [];
    for (const row of rows) {
      const values = bulkValues(mapping, row, operation);
      const key = mapping.keyColumns.map((column) => values[column.index]);
      if (key.some((part) => part === undefined || part === null)) {
        throw new InvalidSessionOperationError(
          `${operation}: a row of ${mapping.name} lacks ${mapping.keyColumns.map((column) => column.path).join(', ')}.`,
        );
      }
      const columns = mapping.columns.filter(
        (column) => values[column.index] !== undefined && !column.isKey && column.role !== 'version',
      );
      if (columns.length === 0) continue;
      const version: unknown = mapping.version === null ? undefined : values[mapping.version.index];
      changes.push(
        new UpdateChange(
          mapping,
          row,
          key,
          columns,
          columns.map((column) => values[column.index]),
          {
            ...(version === undefined || version === null ? {} : { version }),
            columns: [],
            values: [],
            isLocked: false,
            mustExist: mapping.confirmRows,
          },
        ),
      );
    }
    if (changes.length === 0) return 0;
    const transaction = this.#session.transactionFor('write', operation)!;
    transaction.assertWritable(operation);
    const { batching } = transaction.database.options;
    const executor = new FlushExecutor(planFlush(changes, tableOrderOf(this.#unit.mappings)), {
      batching,
      missed: () => undefined,
    });
    this.#unit.hasWritten = true;
    while (!executor.isDone) {
      executor.settle(await transaction.run(executor.next(), { operation, readTransactionId: true }));
    }
    for (const change of changes) {
      const state = this.#unit.identity.get(mapping, mapping.keyOfStored(change.key));
      if (state !== undefined) this.#reader.rows.takeGiven(state, change, transaction);
    }
    return changes.length;
  }

  /** DELETE by criteria. */
  async delete(mapping: EntityMapping, where: object, options: BulkOptions, operation: string): Promise<number> {
    this.#refuseView(mapping, operation);
    const matching = this.#matching(mapping, where, options, operation);
    await this.#session.autoflush(operation);
    const wanted = this.#wanted(mapping, mapping.keyColumns, options);
    const [result] = await this.#send([bulkDeleteStatement(mapping, matching, wanted)], operation);
    if (options.synchronize !== false) this.#expireReferrers(mapping);
    if (wanted === null) return result!.rowCount ?? 0;
    const deleted: InstanceState[] = [];
    this.#eachWritten(mapping, wanted, result!, (state) => {
      this.#unit.rowDeleted(state);
      deleted.push(state);
    });
    followDatabase(this.#unit, deleted);
    return countOf(result!);
  }

  #matching(mapping: EntityMapping, where: object, options: BulkOptions, operation: string): MatchingKeys {
    if (options.all !== true && isEmpty(where)) {
      throw new InvalidSessionOperationError(
        `${operation} of ${mapping.name}: the criteria have no condition. Give one, or { all: true } to mean every row.`,
      );
    }
    return this.#queries.matching(mapping, { where, withDeleted: options.withDeleted });
  }

  /** The session's objects that the statement may reach; null where there are none. */
  #wanted(mapping: EntityMapping, columns: readonly ColumnMapping[], options: BulkOptions): WantedRows | null {
    if (options.synchronize === false) return null;
    const known = [...this.#unit.identity.statesOf(mapping)];
    if (known.length === 0) return null;
    const { root } = mapping;
    return {
      keys: known.map(({ snapshot }) => root.keyColumns.map((column) => column.storedParameter(snapshot!))),
      columns: [...new Set(columns)],
    };
  }

  #eachWritten(
    mapping: EntityMapping,
    wanted: WantedRows,
    result: StatementResult,
    visit: (state: InstanceState, row: unknown[], reader: EntityMapping['reader']) => void,
  ): void {
    const reader = mapping.readerFor(mapping.columns.map((column) => wanted.columns.indexOf(column)));
    for (const [, ...row] of result.rows as unknown[][]) {
      const key: IdentityKey | null = reader.key(row);
      const state = key === null ? undefined : this.#unit.identity.get(mapping, key);
      if (state !== undefined) visit(state, row, reader);
    }
  }

  /** Rows that the database has taken along, or whose foreign keys it has set null, are read again. */
  #expireReferrers(mapping: EntityMapping): void {
    const reached = new Set([mapping.root]);
    for (const target of reached) {
      for (const one of this.#unit.mappings.all) {
        for (const relation of one.relations) {
          if (!relation.isOwningToOne || relation.target.root !== target || relation.onDelete === undefined) continue;
          for (const state of this.#unit.identity.statesOf(one)) this.#unit.expire(state);
          if (relation.onDelete === 'CASCADE') reached.add(one.root);
        }
      }
    }
  }

  async #send(statements: readonly Statement[], operation: string): Promise<readonly StatementResult[]> {
    return this.#run(this.#writing(operation), statements, operation);
  }

  #writing(operation: string): PhysicalTransaction {
    const transaction = this.#session.transactionFor('write', operation)!;
    transaction.assertWritable(operation);
    return transaction;
  }

  #run(
    transaction: PhysicalTransaction,
    statements: readonly Statement[],
    operation: string,
  ): Promise<readonly StatementResult[]> {
    this.#unit.hasWritten = true;
    return transaction.run([...statements], { operation, readTransactionId: true });
  }

  #refuseView(mapping: EntityMapping, operation: string): void {
    if (!mapping.isReadOnly) return;
    throw new InvalidSessionOperationError(`${operation}: ${mapping.name} is a view, and can be read only.`);
  }
}

/** A row that a trigger has given another key cannot be told apart, and comes last. */
function placeOf(places: readonly number[], answered: unknown): number {
  return answered === null ? Infinity : places[Number(answered) - 1]!;
}

function isEmpty(where: object): boolean {
  return Array.isArray(where)
    ? where.length === 0 || where.some(isEmpty)
    : Object.values(where).every((value) => value === undefined);
}

function countOf(result: StatementResult): number {
  return Number((result.rows as unknown[][])[0]?.[0] ?? 0);
}
