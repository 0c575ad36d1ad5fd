import { awaitInFrame } from './ambient.js';
import type { PhysicalTransaction } from './physical-transaction.js';
import type { Place } from './place.js';
import type { TransactionScope } from './transaction-scope.js';
import { abandonUnclaimed } from './unclaimed.js';

/** The function of a scope: called, ended early where the transaction is given up, and waited for with all that it started. */

/** How a scope's function ended. */
export type Result<T> =
  { readonly threw: false; readonly value: T } | { readonly threw: true; readonly error: unknown };

/** What a scope's function left behind. */
export interface BodyEnd<T> {
  readonly result: Result<T>;
  /** The places that had started what was still in flight when it settled. */
  readonly stray: readonly Place[];
}

const NOTHING_STRAY: readonly Place[] = Object.freeze([]);

/** Calls the function in its scope, and waits for what it left in flight. */
export async function runBody<T>(
  scope: TransactionScope,
  transaction: PhysicalTransaction,
  fn: () => T | Promise<T>,
): Promise<BodyEnd<T>> {
  const { abortSignal } = transaction;
  let result: Result<T>;
  try {
    const value = await (abortSignal === undefined ? awaitInFrame(scope, fn) : abortable(scope, abortSignal, fn));
    result = { threw: false, value };
  } catch (error) {
    result = { threw: true, error };
  }
  abandonUnclaimed(scope);
  if (scope.busy && transaction.abortReason === null) return { result, stray: await scope.settle() };
  // Once the transaction was given up nothing of what is in flight counts any more.
  scope.stop();
  return { result, stray: NOTHING_STRAY };
}

/** Calls the function; a signal ends the wait for it. */
async function abortable<T>(scope: TransactionScope, signal: AbortSignal, fn: () => T | Promise<T>): Promise<T> {
  signal.throwIfAborted();
  let stop: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    const onAbort = (): void => {
      reject(signal.reason as Error);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    stop = () => {
      signal.removeEventListener('abort', onAbort);
    };
  });
  try {
    return await Promise.race([awaitInFrame(scope, fn), aborted]);
  } finally {
    stop?.();
  }
}
