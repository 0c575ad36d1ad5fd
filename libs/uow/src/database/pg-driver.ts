import type { TypeParsers } from './read-text.js';
import type { ResultField, Statement, StatementResult } from './statement.js';

/**
 * The parts of node-postgres that this room uses. `pg` itself is never imported: the objects come from the
 * data source's own driver, so that its types, type parsers and pool are the application's.
 */

/** pg's protocol connection, as custom queries ("submittables") get it. */
export interface PgProtocolConnection {
  readonly stream: {
    readonly writable: boolean;
    write(bytes: Uint8Array): unknown;
    cork?(): void;
    uncork?(): void;
    destroy(error?: Error): void;
  };
  query(text: string): void;
  sendCopyFail(message: string): void;
  cancel(processId: number, secretKey: unknown): void;
  connect(port: number | string, host?: string): void;
  requestSsl(): void;
  on(event: string, listener: (message: never) => void): unknown;
  once(event: string, listener: (message: never) => void): unknown;
  prependListener(event: string, listener: (message: never) => void): unknown;
  removeListener(event: string, listener: (message: never) => void): unknown;
}

/** What node-postgres calls on an object given to `client.query`. */
export interface Submittable {
  callback?: unknown;
  submit(connection: PgProtocolConnection): Error | null;
  handleRowDescription(message: { fields: ResultField[] }): void;
  handleDataRow(message: { fields: (string | null)[] }): void;
  handleCommandComplete(message: { text: string }, connection: PgProtocolConnection): void;
  handleEmptyQuery(connection: PgProtocolConnection): void;
  handlePortalSuspended(connection: PgProtocolConnection): void;
  handleReadyForQuery(connection: PgProtocolConnection): void;
  handleError(error: Error, connection: PgProtocolConnection): void;
  handleCopyInResponse(connection: PgProtocolConnection): void;
  handleCopyData(message: unknown, connection: PgProtocolConnection): void;
}

export interface PgClient {
  readonly connection: PgProtocolConnection;
  readonly processID: number | null;
  readonly secretKey: unknown;
  readonly host: string;
  readonly port: number;
  readonly ssl: unknown;
  readonly sslNegotiation?: string;
  readonly _types: TypeParsers;
  /** `I`, `T` or `E`, as the server said last; from pg 8.21. */
  getTransactionStatus?(): string | null;
  query(submittable: object): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  removeListener(event: 'error', listener: (error: Error) => void): unknown;
}

/** pg's own result object, which parses rows with the client's type parsers. */
export interface PgResult extends StatementResult {
  addFields(fields: ResultField[]): void;
  parseRow(fields: (string | null)[]): unknown;
  addCommandComplete(message: { text: string }): void;
}

/** The module object `pg`, as the TypeORM driver holds it. */
export interface PgModule {
  readonly Result: new (rowMode: 'array' | undefined, types: unknown) => PgResult;
  readonly Connection: new (config: object) => PgProtocolConnection;
  readonly Client: new (config: object) => PgAdHocClient;
  readonly utils?: { prepareValue(value: unknown): unknown };
}

/** A connection outside the pool, for the few questions that must not wait for one. */
export interface PgAdHocClient {
  connect(): Promise<unknown>;
  query(text: string, values?: readonly unknown[]): Promise<StatementResult>;
  end(): Promise<void>;
  on(event: 'error', listener: (error: Error) => void): unknown;
}

/** How a data source gives connections; implemented over TypeORM's PostgresDriver. */
export interface ConnectionProvider {
  readonly pg: PgModule;
  /** Takes a client out of the pool; the second member gives it back, or destroys it when handed an error. */
  connect(): Promise<[PgClient, (error?: Error | boolean) => void]>;
  /** How many connections the pool may open. */
  readonly poolSize: number;
  /** True where a connection could be had at once. */
  hasIdle(): boolean;
  /** Settings for an ad hoc client: those of the pool. */
  clientOptions(): object;
  /** Wraps a driver error as the application knows it (TypeORM's `QueryFailedError`). */
  queryFailed(statement: Statement, driverError: Error): Error;
  /** Called before each statement, for the application's own query log. */
  logQuery?(statement: Statement): void;
  logQueryError?(error: Error, statement: Statement): void;
  /** The server's version as a number, such as 180004; 0 when unknown. */
  serverVersion(): number;
  /** The pg module's conversion of parameter values; null, string or Buffer come out. */
  prepareValue(value: unknown): unknown;
}
