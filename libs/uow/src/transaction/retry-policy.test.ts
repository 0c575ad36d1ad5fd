import { SerializationFailureError, UniqueViolationError } from '../errors/database-errors.js';
import {
  AfterCommitError,
  CommitOutcomeUnknownError,
  TransactionEndedOutsideError,
} from '../errors/transaction-errors.js';
import { mayRetry, pauseBefore, pausing } from './retry-policy.js';

const again = (error: unknown): boolean => mayRetry({ attempts: 2 }, 1, error);
const serialization = new SerializationFailureError('no', { sqlState: '40001' });

test('serialization failures and deadlocks are worth another attempt, also as a cause or of the bare driver', () => {
  expect(again(serialization)).toBe(true);
  expect(again(Object.assign(new Error('no'), { code: '40P01' }))).toBe(true);
  expect(again(new Error('wrapped', { cause: serialization }))).toBe(true);
  expect(again(Object.assign(new Error('wrapped'), { driverError: { code: '40001' } }))).toBe(true);
});

test('other errors are not', () => {
  expect(
    [new UniqueViolationError('no', { sqlState: '23505' }), new Error('no'), 'text', null].map((one) => again(one)),
  ).toEqual(Array(4).fill(false));
});

test('no attempt is made beyond their number', () => {
  expect([1, 2, 3].map((attempt) => mayRetry({ attempts: 3 }, attempt, serialization))).toEqual([true, true, false]);
});

test.each([
  ['AfterCommitError', new AfterCommitError('done', 1, { cause: serialization })],
  ['CommitOutcomeUnknownError', new CommitOutcomeUnknownError('unknown', { cause: serialization })],
  ['TransactionEndedOutsideError', new TransactionEndedOutsideError('outside')],
])('%s is never run again: not by `on`, not as a cause', (_, error) => {
  expect(again(error)).toBe(false);
  expect(mayRetry({ attempts: 2, on: () => true }, 1, error)).toBe(false);
  expect(mayRetry({ attempts: 2, on: Error }, 1, new Error('wrapped', { cause: error }))).toBe(false);
});

test('pauses grow twofold from 10 ms up to a second, and are spread over their whole length', () => {
  const pauses = [2, 3, 4, 20].map((attempt) => pauseBefore({ attempts: 20 }, attempt, 1));
  expect(pauses).toEqual([20, 40, 80, 1_000]);
  expect(pauseBefore({ attempts: 2 }, 2, 0)).toBe(0);
  expect(pauseBefore({ attempts: 2 }, 2, 0.5)).toBe(10);
});

test('backoff is a number of milliseconds, or a function of the attempt to come', () => {
  expect(pauseBefore({ attempts: 3, backoff: 7 }, 3)).toBe(7);
  expect(pauseBefore({ attempts: 3, backoff: (attempt) => attempt * 100 }, 3)).toBe(300);
});

test('a pause ends with true, and with false as soon as the signal is aborted', async () => {
  expect(await pausing(0, undefined)).toBe(true);
  expect(await pausing(60_000, AbortSignal.abort())).toBe(false);
  const controller = new AbortController();
  const pause = pausing(60_000, controller.signal);
  controller.abort();
  expect(await pause).toBe(false);
});
