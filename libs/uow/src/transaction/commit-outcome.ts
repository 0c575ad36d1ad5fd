import type { Database } from '../database/database.js';
import type { Statement } from '../database/statement.js';

/**
 * What became of a COMMIT whose answer never came. The server remembers by the transaction's id, but after a
 * crash recovery or a failover an id that was never made durable may have been given to another transaction,
 * so "committed" counts only where a connection from before is still alive: a crash would have ended it.
 */

/** Reads the id behind the first lock or write; NULL where the transaction has none yet. */
export const TRANSACTION_ID: Statement = Object.freeze({
  text: 'SELECT pg_current_xact_id_if_assigned()::text',
  rowMode: 'array',
});

export type CommitVerdict = 'committed' | 'aborted' | 'unknown';

const ATTEMPTS = 20;
const PAUSE = 100;

const STATUS = 'SELECT pg_xact_status($1::xid8) AS status, pg_is_in_recovery() AS recovering';

export class CommitOutcome {
  readonly #database: Database;
  readonly #id: string;
  readonly #readAt = performance.now();

  constructor(database: Database, id: string) {
    this.#database = database;
    this.#id = id;
  }

  /**
   * Asks the server, on a connection outside the pool, until the transaction is in progress no more.
   * @returns `unknown` where the server cannot be reached, forgot the id, or may have recovered from a crash
   */
  async find(): Promise<CommitVerdict> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      try {
        const [row] = (await this.#database.askAside(STATUS, [this.#id])) as [
          { status: string | null; recovering: boolean },
        ];
        if (row.recovering) return 'unknown';
        if (row.status === 'aborted') return 'aborted';
        if (row.status === 'committed') {
          return this.#database.hasConnectionSince(this.#readAt) ? 'committed' : 'unknown';
        }
        if (row.status === null) return 'unknown';
      } catch {
        // Not reachable yet: it may be restarting.
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
    return 'unknown';
  }
}
