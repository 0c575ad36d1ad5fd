import type { TransactionOptions } from '../transaction/transaction-definition.js';
import type { Session } from './session.js';

/** Runs a function in the session's open transaction, or in one that is committed when it returns and rolled back when it throws. */
export async function commitOnSuccess<T>(
  session: Session,
  options: TransactionOptions,
  fn: () => T | Promise<T>,
): Promise<T> {
  if (session.transaction !== null) return fn();
  const transaction = await session.begin(options);
  let result: T;
  try {
    result = await fn();
  } catch (error) {
    if (transaction.isActive) await transaction.rollback();
    throw error;
  }
  if (transaction.isActive) await transaction.commit();
  return result;
}
