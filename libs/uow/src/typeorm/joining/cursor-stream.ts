import { Readable } from 'node:stream';
import type { StatementResult } from '../../database/statement.js';

const ROWS_PER_FETCH = 100;

let cursors = 0;

/**
 * Rows of a query as a stream, read by DECLARE and FETCH on the transaction's connection, so that other
 * statements of the transaction may run between two fetches.
 *
 * @param run sends one statement in the transaction
 * @param text of a query that returns rows
 * @param onEnd called when the rows are exhausted
 * @param onError called with what ended the stream early
 */
export function cursorStream(
  run: (text: string, values?: readonly unknown[]) => Promise<StatementResult>,
  text: string,
  values: readonly unknown[],
  onEnd?: () => unknown,
  onError?: (error: unknown) => unknown,
): Readable {
  cursors += 1;
  const name = `"uow_cursor_${cursors}"`;
  async function* rows(): AsyncGenerator {
    await run(`DECLARE ${name} NO SCROLL CURSOR FOR ${text}`, values);
    let failed = false;
    try {
      for (;;) {
        const fetched = await run(`FETCH ${ROWS_PER_FETCH} FROM ${name}`);
        yield* fetched.rows as unknown[];
        if (fetched.rows.length < ROWS_PER_FETCH) return;
      }
    } catch (error) {
      failed = true;
      throw error;
    } finally {
      // The reader may have stopped because the transaction ended; then the cursor is gone already.
      if (!failed) await run(`CLOSE ${name}`).catch(() => undefined);
    }
  }
  const stream = Readable.from(rows(), { objectMode: true });
  if (onEnd) stream.on('end', onEnd);
  if (onError) stream.on('error', onError);
  return stream;
}
