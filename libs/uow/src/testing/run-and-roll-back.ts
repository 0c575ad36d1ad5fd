import type { TransactionOptions } from '../transaction/transaction-definition.js';
import type { TransactionManager } from '../transaction/transaction-manager.js';

/**
 * Runs `fn` in a transaction that is always rolled back, so that a test leaves no trace (Spring's test-managed
 * transactions). What `fn` calls joins it: `@Transactional()` methods, sessions, repositories. A REQUIRES_NEW
 * inside commits for real, and waits for ever for rows that the test holds locked.
 *
 * @param transactions the application's: `app.get(TransactionManager)`
 * @param fn the test; calls over HTTP run in contexts of their own and do not join
 * @returns what `fn` returns
 * @throws what `fn` throws
 *
 * @example
 * test('a withdrawal changes the balance', () =>
 *   runAndRollBack(app.get(TransactionManager), async () => {
 *     await bank.withdraw(account, 5n);
 *     expect(await bank.balance(account)).toBe(95n);
 *   }));
 */
export function runAndRollBack<T>(
  transactions: TransactionManager,
  fn: () => T | Promise<T>,
  options: Omit<TransactionOptions, 'propagation'> = {},
): Promise<T> {
  return transactions.run({ label: 'runAndRollBack()', ...options, propagation: 'REQUIRES_NEW' }, async () => {
    const result = await fn();
    transactions.setRollbackOnly('runAndRollBack() never commits');
    return result;
  });
}
