import type { DatabaseConnection } from '../database/database-connection.js';
import { SelfDeadlockError } from '../errors/transaction-errors.js';
import type { PhysicalTransaction } from './physical-transaction.js';
import type { TransactionContext } from './transaction-context.js';

/**
 * An inner transaction (REQUIRES_NEW) that waits for a row lock of the outer one that it suspended waits for
 * ever: the outer cannot go on before the inner ends, and PostgreSQL sees no deadlock. So a statement of an
 * inner transaction that takes long is looked up in `pg_blocking_pids`.
 */

const FIRST_LOOK = 250;
const LONGEST_PAUSE = 4_000;

/**
 * Watches one statement.
 * @returns a function to call when it has been answered; nothing where no outer transaction holds a connection
 */
export function watchForSelfDeadlock(
  inner: PhysicalTransaction,
  connection: DatabaseConnection,
  outer: TransactionContext | null,
): (() => void) | undefined {
  if (outer === null) return undefined;
  const suspended: PhysicalTransaction[] = [];
  for (let context: TransactionContext | null = outer; context !== null; context = context.outer) {
    const { transaction } = context;
    if (transaction?.processId != null && context.database === inner.database) {
      suspended.push(transaction);
    }
  }
  if (suspended.length === 0) return undefined;
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  const look = async (pause: number): Promise<void> => {
    const blocker = await findBlocker(inner, connection, suspended);
    if (stopped) return;
    if (blocker === null) {
      timer = setTimeout(() => void look(Math.min(pause * 2, LONGEST_PAUSE)), pause);
      return;
    }
    inner.abort(
      new SelfDeadlockError(
        `${inner.label} waits for a lock that ${blocker.label}, the transaction it suspended, holds; neither could ever go on. ` +
          `Its statement: ${connection.lastStatement ?? ''}. Let ${inner.label} join (REQUIRED or NESTED), or run it after ${blocker.label} (afterCommit).`,
      ),
      'deadlock',
    );
  };
  timer = setTimeout(() => void look(FIRST_LOOK * 2), FIRST_LOOK);
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}

async function findBlocker(
  inner: PhysicalTransaction,
  connection: DatabaseConnection,
  suspended: readonly PhysicalTransaction[],
): Promise<PhysicalTransaction | null> {
  try {
    const [row] = (await inner.database.askAside('SELECT pg_blocking_pids($1) AS pids', [connection.processId])) as [
      { pids: number[] },
    ];
    return suspended.find((one) => row.pids.includes(one.processId ?? -1)) ?? null;
  } catch {
    return null;
  }
}
