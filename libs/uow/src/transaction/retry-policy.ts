import { isRetryable } from '../database/postgres-error.js';
import type { ErrorClass, RollbackRule } from './rollback-rules.js';

/** Running a root scope again after an error that says "try again": how often, on what, and after what pause. */
export interface RetryOptions {
  /** How many times the method runs at most, the first included. */
  readonly attempts: number;
  /** Which errors are worth another attempt; by default serialization failures (40001) and deadlocks (40P01). */
  readonly on?: readonly RollbackRule[] | RollbackRule;
  /** Milliseconds before the given attempt (2, 3, …); by default exponential from 10 with full jitter, at most 1,000. */
  readonly backoff?: number | ((attempt: number) => number);
}

const FIRST_PAUSE = 10;
const LONGEST_PAUSE = 1_000;

/** Tells whether another attempt may be made after the error. */
export function shouldRetry(retry: RetryOptions, attempt: number, error: unknown): boolean {
  if (attempt >= retry.attempts) return false;
  if (retry.on === undefined) return isRetryable(error);
  const rules = Array.isArray(retry.on) ? (retry.on as readonly RollbackRule[]) : [retry.on];
  return rules.some((rule) => matches(rule as RollbackRule, error));
}

function matches(rule: RollbackRule, error: unknown): boolean {
  if (rule === Error || rule.prototype instanceof Error) return error instanceof (rule as ErrorClass);
  return (rule as (error: unknown) => boolean)(error);
}

/** Milliseconds to wait before the attempt with this number. */
export function pauseBefore(retry: RetryOptions, attempt: number): number {
  if (typeof retry.backoff === 'number') return retry.backoff;
  if (retry.backoff !== undefined) return retry.backoff(attempt);
  return Math.random() * Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (attempt - 2) * 2);
}
