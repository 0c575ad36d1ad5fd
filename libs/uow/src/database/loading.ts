import type { ColumnMapping, EntityMapping, IdentityKey, RelationMapping, RowReader } from './entity-mapping.js';
import type { Statement, StatementResult } from './statement.js';

/** How rows are locked: PostgreSQL's row locks by what they are for. */
export type LockMode = 'update' | 'update key' | 'share' | 'key share';

export interface LockOptions {
  /**
   * `'update'` sends FOR NO KEY UPDATE, so that foreign-key checks of others go on; `'update key'` FOR UPDATE,
   * for rows whose key will change or that will be deleted; `'share'` FOR SHARE; `'key share'` FOR KEY SHARE.
   */
  readonly lock?: LockMode;
  /** Fail at once where another transaction holds the row. */
  readonly nowait?: boolean;
  /** Leave out rows that another transaction holds. */
  readonly skipLocked?: boolean;
}

/** A query for entities: its statement, and how to read its rows. */
export interface EntityQuery {
  readonly statement: Statement;
  /** Reads the rows, which come as arrays, once the columns of the answer are known. */
  reader(result: StatementResult): RowReader;
  /** Rows of one entity can come more than once, because of joins. */
  readonly mayRepeat: boolean;
  /** Relations to load afterwards, as paths such as `entries` or `entries.account`. */
  readonly relations: readonly string[];
  /** What to read of them, by path: all columns where it says nothing. */
  readonly selects: RelationSelects;
}

/** Columns of related objects, by the path of the relation. */
export type RelationSelects = ReadonlyMap<string, readonly ColumnMapping[]>;

/** A SELECT of keys, to be locked and written by the statement around it. */
export interface MatchingKeys {
  readonly text: string;
  readonly values: readonly unknown[];
  /** Names of the key columns in the answer, quoted, in the order of the mapping's. */
  readonly keys: readonly string[];
  /** The entity's alias, quoted. */
  readonly alias: string;
  /** False where the query has an order of its own. */
  readonly isUnordered: boolean;
}

/** What a query builder needs of the session that it works for. */
export interface BuilderHost<Transaction = unknown> {
  /** The transaction that a statement runs in; null for a read outside one. */
  transaction(needs: 'read' | 'lock' | 'write'): Transaction | null;
  autoflush(): Promise<void>;
  /** Takes a row in. */
  absorb(mapping: EntityMapping, reader: RowReader, row: unknown[]): void;
  /** The object of a key, if the session has it. */
  known(mapping: EntityMapping, key: IdentityKey): object | null;
  /** Notes what a relation of one of the session's objects was read to be. */
  relate(entity: object, relation: RelationMapping, related: object | object[] | null): void;
  /** A statement has written rows of an entity, or of something unknown. */
  wrote(target: EntityMapping['target'] | undefined): void;
}

/** The port through which sessions turn TypeORM's find options into SQL; `typeorm/` implements it. */
export interface EntityQueries {
  find(mapping: EntityMapping, options: object, lock: LockOptions | null): EntityQuery;
  /** Relations named as paths or as TypeORM's tree, as paths, outer ones first. */
  relationPaths(mapping: EntityMapping, relations: unknown): string[];
  /** TypeORM's select builder, on a session. */
  createQueryBuilder(mapping: EntityMapping, alias: string, host: BuilderHost): object;
  /** The keys of the rows that match criteria, for statements that write them. */
  matching(mapping: EntityMapping, options: object): MatchingKeys;
  /** A statement that gives one row with one number. */
  count(mapping: EntityMapping, options: object): Statement;
  /** A statement that gives one row with one boolean. */
  exists(mapping: EntityMapping, options: object): Statement;
}

/** The locking clause for a table alias. */
export function lockClause(options: LockOptions | null, alias: string): string {
  if (options?.lock === undefined) return '';
  const strengths: Record<LockMode, string> = {
    update: 'NO KEY UPDATE',
    'update key': 'UPDATE',
    share: 'SHARE',
    'key share': 'KEY SHARE',
  };
  const wait = options.nowait === true ? ' NOWAIT' : options.skipLocked === true ? ' SKIP LOCKED' : '';
  return ` FOR ${strengths[options.lock]} OF ${alias}${wait}`;
}
