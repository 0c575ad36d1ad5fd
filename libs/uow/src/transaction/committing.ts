import { BatchFailure } from '../database/batch.js';
import type { Statement, StatementResult } from '../database/statement.js';
import { CommitOutcomeUnknownError, TransactionRolledBackError } from '../errors/transaction-errors.js';
import type { GivingUp } from './giving-up.js';
import type { Operations } from './operations.js';
import type { PhysicalTransaction } from './physical-transaction.js';
import type { CommitPayload } from './transaction-synchronization.js';
import type { TransactionWire } from './transaction-wire.js';

/** COMMIT: what goes before it and with it, what its answer means, and what to believe when none comes. */

/**
 * The transaction that commits, and what of it only this may use. A class, because V8 may come to put literals of the
 * same place into the old generation at once, and each would keep its transaction until a full collection.
 */
export class Committing {
  /**
   * @param translated the typed error for a failed exchange
   * @param end ends the transaction; gives what memory's bookkeeping threw, if anything
   */
  constructor(
    readonly transaction: PhysicalTransaction,
    readonly wire: TransactionWire,
    readonly givingUp: GivingUp,
    readonly operations: Operations,
    readonly translated: (error: unknown, statements: readonly Statement[]) => unknown,
    readonly end: (outcome: 'committed' | 'unknown', cause?: unknown) => unknown,
  ) {}
}

/**
 * Sends COMMIT with the payload in front of it under the same Sync; apart from it where the outcome must be certain,
 * or where subscribers are to be told in between.
 * @returns what failed in memory after the server had committed, if anything
 */
export async function exchangeCommit(parts: Committing, payload: CommitPayload | null): Promise<unknown> {
  const { transaction, wire, givingUp, operations } = parts;
  const operation = operations.begin('COMMIT');
  try {
    const waiting = operation.takeTurn();
    if (waiting !== undefined) await waiting;
    const { observer, database } = transaction.context;
    const statements = payload?.statements ?? [];
    const certain = database.options.commitOutcome === 'certain' && !transaction.readOnly;
    let results: StatementResult[] | null = null;
    if (certain || (observer !== null && statements.length > 0)) {
      try {
        results = await (certain ? wire.sendCertain(statements) : wire.send(statements));
      } catch (error) {
        throw parts.translated(error, statements);
      }
    }
    const telling = operations.observe((one) => one.beforeCommit?.(transaction));
    if (telling !== undefined) await telling;
    transaction.assertNotFailed();
    const travelling = results === null ? statements : [];
    givingUp.startCommitting(travelling.length > 0);
    let answer: Awaited<ReturnType<TransactionWire['commit']>>;
    try {
      answer = await wire.commit(travelling);
    } catch (error) {
      if (error instanceof BatchFailure && error.connectionLost && wire.failure === null) {
        return await answerLost(parts, error.driverError, travelling.length > 0);
      }
      throw parts.translated(error, [...travelling, { text: 'COMMIT' }]);
    }
    if (answer.tag !== 'COMMIT') {
      const error = new TransactionRolledBackError(
        `The server answered the COMMIT of ${transaction.label} with ${answer.tag}: a statement inside had failed and its error was swallowed.`,
      );
      wire.fail(error);
      throw error;
    }
    let failed: unknown;
    try {
      payload?.settle(results ?? answer.results);
    } catch (error) {
      failed = error;
    }
    return parts.end('committed') ?? failed;
  } finally {
    operation.end();
  }
}

/** What to do about a COMMIT whose answer never came. */
async function answerLost(
  { transaction, wire, givingUp, end }: Committing,
  reason: Error,
  resultsLost: boolean,
): Promise<unknown> {
  // PostgreSQL ends a transaction for its deadline only while it has not committed.
  const givenUp = givingUp.behind(reason);
  if (givenUp !== null) throw givenUp;
  switch (await wire.lookUpOutcome()) {
    case 'committed': {
      const afterwards = end('committed');
      return resultsLost ? transaction.database.connectionLost(reason) : afterwards;
    }
    case 'aborted': {
      const aborted = transaction.database.connectionLost(reason, true);
      wire.fail(aborted);
      throw aborted;
    }
    case 'unknown':
      wire.fail(reason);
      end('unknown', reason);
      throw new CommitOutcomeUnknownError(
        `The connection of ${transaction.label} was lost while COMMIT was in flight (${reason.message}), and whether it was committed cannot be told for certain. ` +
          `Look at the data before doing it again.`,
        { cause: reason },
      );
  }
}
