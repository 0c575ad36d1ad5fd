import type { DataSource, QueryRunner } from 'typeorm';
import type { PhysicalTransaction } from '../../transaction/physical-transaction.js';
import type { TransactionObserver } from '../../transaction/transaction-synchronization.js';

/**
 * TypeORM's subscribers hear of transactions that this library begins and ends, as of TypeORM's own:
 * `beforeTransactionStart` to `afterTransactionRollback`, with a runner of the transaction in the event.
 */

const EVENTS = {
  beforeBegin: ['beforeTransactionStart', 'BeforeTransactionStart'],
  afterBegin: ['afterTransactionStart', 'AfterTransactionStart'],
  beforeCommit: ['beforeTransactionCommit', 'BeforeTransactionCommit'],
  afterCommit: ['afterTransactionCommit', 'AfterTransactionCommit'],
  beforeRollback: ['beforeTransactionRollback', 'BeforeTransactionRollback'],
  afterRollback: ['afterTransactionRollback', 'AfterTransactionRollback'],
} as const satisfies Record<keyof TransactionObserver, readonly [string, string]>;

/**
 * @param runnerOf makes a runner of a transaction
 * @returns an observer with a member for each event that a subscriber of the data source wants; `null` where
 * none wants any, so that a COMMIT may travel with the statements before it
 */
export function subscriberEvents(
  dataSource: DataSource,
  runnerOf: (transaction: PhysicalTransaction) => QueryRunner,
): TransactionObserver | null {
  const members: [string, unknown][] = [];
  for (const [member, [method, event]] of Object.entries(EVENTS)) {
    const wanted = dataSource.subscribers.some(
      (subscriber) => typeof (subscriber as Record<string, unknown>)[method] === 'function',
    );
    if (!wanted) continue;
    members.push([
      member,
      async (transaction: PhysicalTransaction) => {
        const { broadcaster } = runnerOf(transaction) as unknown as {
          broadcaster: { broadcast(event: string): Promise<void> };
        };
        await broadcaster.broadcast(event);
      },
    ]);
  }
  return members.length === 0 ? null : Object.fromEntries(members);
}
