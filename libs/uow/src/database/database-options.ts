/** What holds for one data source, with every default filled in (see `UowModule.forRoot(options)`). */
export interface DatabaseOptions {
  /** When a session begins a transaction by itself: at the first write, at the first statement, never. */
  readonly autobegin: 'write' | 'read' | false;
  readonly autoflush: boolean;
  readonly expireOnCommit: boolean;
  readonly uncommitted: 'error' | 'warn';
  readonly unawaited: 'error' | 'warn';
  readonly joining: 'auto' | 'warn' | 'mandatory';
  readonly staleCheck: 'on' | 'off';
  /** Milliseconds after which an open session or an unsubscribed result is reported. */
  readonly warnAfter: number;
  /** Milliseconds after which work that waits for a silent scope is refused. */
  readonly stallAfter: number;
  /** Milliseconds to wait for a connection; `Infinity` waits as long as there is hope. */
  readonly acquireTimeout: number;
  /** Several statements of a flush in one round trip. */
  readonly batching: boolean;
  /** Named prepared statements; false behind poolers that cannot keep them. */
  readonly preparedStatements: boolean;
  /** How sure a commit must be when its connection is lost. */
  readonly commitOutcome: 'lookup' | 'certain';
  /** Isolation level of the data source, used where a definition names none. */
  readonly isolation: string | undefined;
}

export const DEFAULT_DATABASE_OPTIONS: DatabaseOptions = Object.freeze({
  autobegin: 'write',
  autoflush: true,
  expireOnCommit: true,
  uncommitted: 'error',
  unawaited: 'error',
  joining: 'auto',
  staleCheck: 'on',
  warnAfter: 5_000,
  stallAfter: 5_000,
  acquireTimeout: 30_000,
  batching: true,
  preparedStatements: true,
  commitOutcome: 'lookup',
  isolation: undefined,
});
