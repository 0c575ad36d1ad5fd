import { randomUUID } from 'node:crypto';
import type { DatabaseConnection } from '../database/database-connection.js';
import type { Database } from '../database/database.js';
import type { Statement, StatementResult } from '../database/statement.js';
import { IllegalTransactionStateError } from '../errors/transaction-errors.js';

/**
 * What became of a COMMIT whose answer never came. The server remembers by the transaction's id, but after a
 * crash recovery or a failover an id that was never made durable may have been given to another transaction,
 * so "committed" counts only where the same server has run on since the id was read. A row written by the
 * transaction itself (`commitOutcome: 'certain'`) tells in every case.
 */

/** Since when the server runs; in a form that depends on no time zone. */
const SERVER_START = 'extract(epoch FROM pg_postmaster_start_time())::text';

/** Reads the id behind the first lock or write; NULL where the transaction has none yet. */
const TRANSACTION_ID: Statement = Object.freeze({
  text: 'SELECT pg_current_xact_id_if_assigned()',
  rowMode: 'array',
});

/** The same on a connection of which it is not known yet since when its server runs, and whether it is the server's own. */
const TRANSACTION_ID_AND_SERVER: Statement = Object.freeze({
  text: `SELECT pg_current_xact_id_if_assigned(), ${SERVER_START}, pg_backend_pid()::text`,
  rowMode: 'array',
});

/** The table that `commitOutcome: 'certain'` needs; a row for each connection, written over by each commit. */
export const COMMIT_MARKER_TABLE =
  'CREATE TABLE uow_commit_marker (connection uuid PRIMARY KEY, transaction uuid NOT NULL, committed_at timestamptz NOT NULL DEFAULT now())';

const MARK =
  'INSERT INTO uow_commit_marker (connection, transaction) VALUES ($1, $2) ' +
  'ON CONFLICT (connection) DO UPDATE SET transaction = excluded.transaction, committed_at = now()';

/** What to send behind the first lock or write. */
export function questionForId(connection: DatabaseConnection): Statement {
  return connection.serverStarted === null ? TRANSACTION_ID_AND_SERVER : TRANSACTION_ID;
}

/** What the answer says; null where the transaction has no id yet. */
export function outcomeOf(
  database: Database,
  connection: DatabaseConnection,
  answer: StatementResult | undefined,
): CommitOutcome | null {
  const [id = null, told = null, processId] =
    (answer?.rows as [(string | bigint | null)?, string?, string?][] | undefined)?.[0] ?? [];
  const started = told ?? connection.serverStarted;
  // A pooler in between has process ids of its own, and may have another server behind it the next time.
  if (Number(processId) === connection.processId) connection.serverStarted = started;
  // Of a type of its own, for which the application may have a parser.
  return id === null || started === null ? null : new CommitOutcome(database, String(id), started);
}

export type CommitVerdict = 'committed' | 'aborted' | 'unknown';

/** Milliseconds between looks, doubled each time; a restarting server is waited for some ten seconds. */
const FIRST_PAUSE = 25;
const LONGEST_PAUSE = 1_000;
const PATIENCE = 10_000;
/** Seconds by which two measures of the same span may differ. */
const SLACK = 1;

// After a crash PostgreSQL throws its statistics away and starts counting anew, though its postmaster lives on.
const LOOK_UP =
  'SELECT pg_xact_status($1::xid8) AS status, pg_is_in_recovery() AS recovering, ' +
  `${SERVER_START} AS started, ` +
  '(SELECT extract(epoch FROM clock_timestamp() - stats_reset)::float8 FROM pg_stat_bgwriter) AS "countedFor"';

const LOOK_UP_MARKER = 'SELECT EXISTS (SELECT FROM uow_commit_marker WHERE transaction = $1) AS marked';

const UNDEFINED_TABLE = '42P01';
/** What pg_xact_status says of an id that is still to come. */
const ID_NOT_GIVEN_OUT = '22023';

export class CommitOutcome {
  readonly #database: Database;
  readonly #id: string;
  readonly #serverStarted: string;
  readonly #readAt = performance.now();
  #marker: string | null = null;

  /**
   * @param id of the transaction, as the server gave it
   * @param serverStarted when the server that gave it was started
   */
  constructor(database: Database, id: string, serverStarted: string) {
    this.#database = database;
    this.#id = id;
    this.#serverStarted = serverStarted;
  }

  /** Which row tells that the transaction was committed. */
  markedBy(marker: string): void {
    this.#marker = marker;
  }

  /**
   * Asks the server, on a connection outside the pool, until the transaction is in progress no more.
   * @returns `unknown` where the server cannot be reached or forgot the id, or where it may have recovered from a
   * crash and no marker tells
   */
  async find(): Promise<CommitVerdict> {
    let withoutMarker = false;
    const until = performance.now() + PATIENCE;
    for (let pause = FIRST_PAUSE; performance.now() < until; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
      try {
        const found = await this.#look();
        // A row that became visible between the two looks is seen by the next one.
        if (found === 'not marked') {
          if (withoutMarker) return 'aborted';
          withoutMarker = true;
        } else if (found !== null) return found;
      } catch {
        // Not reachable yet: it may be restarting.
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
    return 'unknown';
  }

  async #look(): Promise<CommitVerdict | 'not marked' | null> {
    let row: { status: string | null; recovering: boolean; started: string; countedFor: number | null };
    try {
      [row] = (await this.#database.askAside(LOOK_UP, [this.#id])) as [typeof row];
    } catch (error) {
      if ((error as { code?: string }).code !== ID_NOT_GIVEN_OUT) throw error;
      // A crash, or a failover, before the id was made durable: what had it was never committed.
      return this.#marker === null ? 'unknown' : 'not marked';
    }
    if (row.recovering) return 'unknown';
    if (row.status === 'aborted') return 'aborted';
    if (row.status === 'in progress') return null;
    if (this.#marker !== null) {
      const [{ marked }] = (await this.#database.askAside(LOOK_UP_MARKER, [this.#marker])) as [{ marked: boolean }];
      return marked ? 'committed' : 'not marked';
    }
    if (row.status !== 'committed') return 'unknown';
    const passed = (performance.now() - this.#readAt) / 1_000;
    return row.started === this.#serverStarted && row.countedFor !== null && row.countedFor > passed + SLACK
      ? 'committed'
      : 'unknown';
  }
}

/**
 * The statement that leaves a marker of the transaction.
 * @param connection of whose row it is
 * @returns it, and what to look for
 */
export function commitMarker(connection: string): { readonly statement: Statement; readonly marker: string } {
  const marker = randomUUID();
  return {
    marker,
    statement: {
      text: MARK,
      values: [connection, marker],
      explain: (error) =>
        (error as { code?: string }).code === UNDEFINED_TABLE
          ? new IllegalTransactionStateError(
              `commitOutcome is 'certain', but its table is missing. Create it in a migration: ${COMMIT_MARKER_TABLE}`,
              { cause: error },
            )
          : null,
    },
  };
}

/** What surely writes nothing: a SELECT, without a lock and without a call of a function that might write. */
const READ = /^\s*(?:SELECT|SHOW|FETCH|CLOSE|MOVE|DECLARE|EXPLAIN|SAVEPOINT|RELEASE|ROLLBACK)\b/i;
const LOCKS = /\bFOR\s+(?:UPDATE|NO\s+KEY|SHARE|KEY)\b|\bANALY[ZS]E\b/i;
const CALL = /([\w".]+)\s*\(/g;
/** Words that a parenthesis may follow in a SELECT without a call, and functions that only compute. */
const HARMLESS = new Set(
  (
    'select from where and or not in any all some exists as on using join lateral values by having when then else case ' +
    'limit offset like ilike between over filter union distinct within group ' +
    'count sum min max avg coalesce nullif greatest least lower upper length now cast date_trunc array_agg json_agg ' +
    'jsonb_agg numeric decimal varchar char timestamp timestamptz pg_sleep'
  ).split(' '),
);

/** True where the text may have written something; false only where it surely has not. */
export function mayWrite(text: string): boolean {
  if (!READ.test(text) || LOCKS.test(text)) return true;
  for (const [, name = ''] of text.matchAll(CALL)) if (!HARMLESS.has(name.toLowerCase())) return true;
  return false;
}
