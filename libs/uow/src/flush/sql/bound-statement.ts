import type { ArrayResult, Statement } from '../../database/statement.js';
import type { Change } from '../change-set.js';

/** A statement of a flush with its parameters, and what to do with its answer. */
export interface BoundStatement {
  readonly statement: Statement;
  /** Number of the text, as a stale marker names it. */
  readonly id: number;
  /** The rows it writes, in the order of the ordinals that a stale marker names. */
  readonly changes: readonly Change[];
  /** What its own check found, by the numbers that its error brought; left out where these are ordinals of stale rows. */
  refused?(numbers: readonly number[], cause: unknown): Error;
  /** Takes generated values and counts from the answer. */
  settle(result: ArrayResult): void;
}
