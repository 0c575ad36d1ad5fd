import type { EntityMapping } from '../database/entity-mapping.js';
import { InvalidSessionOperationError } from '../errors/session-errors.js';
import { rollbackTransaction } from '../transaction/completion.js';
import type { PhysicalTransaction } from '../transaction/physical-transaction.js';
import { TransactionContext } from '../transaction/transaction-context.js';
import type { Session } from './session.js';
import type { SessionSource } from './session-source.js';

/** What a stream takes beside find options. */
export interface StreamOptions {
  /** Rows that are fetched at once; 500 when left out. */
  readonly batchSize?: number;
}

const DEFAULT_BATCH = 500;
let cursors = 0;

/**
 * Reads rows through a cursor of the server, a batch at a time, so that any number of them needs the memory of
 * one batch. The objects are not tracked. In a transaction the cursor lives in it; outside one the stream opens
 * a read-only transaction of its own, which ends with the iteration.
 */
export async function* streamOf(
  source: SessionSource,
  session: Session,
  mapping: EntityMapping,
  options: object & StreamOptions,
): AsyncGenerator<object> {
  const { batchSize = DEFAULT_BATCH, ...find } = options;
  if (!Number.isInteger(batchSize) || batchSize < 1) {
    throw new InvalidSessionOperationError(`stream: batchSize ${String(batchSize)} is not a whole number from 1.`);
  }
  const query = source.queries.find(mapping, { loadEagerRelations: false, ...find }, null);
  if (query.relations.length > 0 || query.mayRepeat) {
    throw new InvalidSessionOperationError(
      `stream of ${mapping.name}: relations cannot be streamed, since their rows would have to be held. Stream ids, and load() objects batch by batch.`,
    );
  }
  await session.autoflush('session.stream()');
  const open = session.transactionFor('read', 'session.stream()');
  const own = open === null ? ownTransaction(source) : null;
  const transaction = open ?? own!;
  cursors += 1;
  const name = `uow_stream_${cursors}`;
  const operation = 'session.stream()';
  try {
    const { text, values } = query.statement;
    await transaction.run([{ text: `DECLARE ${name} NO SCROLL CURSOR FOR ${text}`, values, prepare: false }], {
      operation,
    });
    const fetch = { text: `FETCH FORWARD ${batchSize} FROM ${name}`, rowMode: 'array' as const, prepare: false };
    for (;;) {
      const [result] = await transaction.run([fetch], { operation });
      const reader = query.reader(result!);
      for (const row of result!.rows as unknown[][]) yield session.reader.rows.untracked(mapping, reader, row);
      if (result!.rows.length < batchSize) break;
    }
  } finally {
    if (own !== null) {
      await rollbackTransaction(own, null, null);
      await own.context.close();
    } else if (transaction.isActive && transaction.failure === null) {
      await transaction.run([{ text: `CLOSE ${name}`, prepare: false }], { operation });
    }
  }
}

function ownTransaction(source: SessionSource): PhysicalTransaction {
  const context = new TransactionContext(source.database, source.manager, 'session.stream()');
  return context.begin('begin', 'session.stream()', { readOnly: true });
}
