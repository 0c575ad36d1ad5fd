import { isRetryable } from '../database/postgres-error.js';
import {
  AfterCommitError,
  CommitOutcomeUnknownError,
  TransactionEndedOutsideError,
} from '../errors/transaction-errors.js';
import { matchesRule } from './rollback-rules.js';
import type { RollbackRule } from './rollback-rules.js';

/** Running a root scope again after an error that says "try again": how often, on what, and after what pause. */
export interface RetryOptions {
  /** How many times the method runs at most, the first included. */
  readonly attempts: number;
  /**
   * Which errors are worth another attempt; by default serialization failures (40001), deadlocks (40P01), and errors
   * of this library whose `retryable` is true.
   */
  readonly on?: readonly RollbackRule[] | RollbackRule;
  /** Milliseconds before the given attempt (2, 3, …); by default exponential from 10 with full jitter, at most 1,000. */
  readonly backoff?: number | ((attempt: number) => number);
}

const FIRST_PAUSE = 10;
const LONGEST_PAUSE = 1_000;

/** After these, work may be stored already: to run it again could do it twice. */
const DONE_OR_UNKNOWN = [AfterCommitError, CommitOutcomeUnknownError, TransactionEndedOutsideError];

/**
 * Tells whether another attempt may be made after the error.
 * @param attempt the one that failed; the first is 1
 */
export function mayRetry(retry: RetryOptions, attempt: number, error: unknown): boolean {
  if (attempt >= retry.attempts) return false;
  for (let one: unknown = error, depth = 0; one instanceof Error && depth < 16; one = one.cause, depth += 1) {
    if (DONE_OR_UNKNOWN.some((kind) => one instanceof kind)) return false;
  }
  if (retry.on === undefined) return isRetryable(error);
  const rules = typeof retry.on === 'function' ? [retry.on] : retry.on;
  return rules.some((rule) => matchesRule(rule, error));
}

/**
 * The pause before an attempt.
 * @param attempt the one to come: 2, 3, …
 * @param random between 0 and 1, for the jitter
 * @returns milliseconds
 */
export function pauseBefore(retry: RetryOptions, attempt: number, random = Math.random()): number {
  if (typeof retry.backoff === 'number') return retry.backoff;
  if (retry.backoff !== undefined) return retry.backoff(attempt);
  return random * Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (attempt - 1));
}

/**
 * Waits.
 * @param milliseconds how long
 * @returns false when the signal ended the wait
 */
export function pausing(milliseconds: number, signal: AbortSignal | undefined): Promise<boolean> {
  if (signal?.aborted === true) return Promise.resolve(false);
  return new Promise((resolve) => {
    const onAbort = (): void => {
      clearTimeout(timer);
      resolve(false);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve(true);
    }, milliseconds);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
