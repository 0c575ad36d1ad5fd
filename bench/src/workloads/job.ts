import type { BenchContender } from '../contenders/contender.js';
import type { WorkDone } from './work-done.js';

/** What a contender's process is told to do. */
export type Job =
  /** Transfers between random accounts, for a time or up to a number, so many at once. */
  | { readonly kind: 'transfers'; readonly concurrency: number; readonly ms: number; readonly limit?: number }
  /** Empty transactions, or joined calls, one after the other for a time or up to a number. */
  | { readonly kind: 'empty' | 'joined'; readonly ms: number; readonly limit?: number }
  /** Finds by key in one session, for a time or up to a number. */
  | {
      readonly kind: 'finds';
      /** Each account is found once before, untimed; otherwise the session is timed from its beginning to its end. */
      readonly loaded: boolean;
      readonly ms: number;
      readonly limit?: number;
    }
  /** The same call one after the other, for a time or up to a number, and at least once. */
  | {
      readonly kind: 'calls';
      readonly operation: Operation;
      readonly args: readonly number[];
      readonly ms: number;
      readonly limit?: number;
      /** Collects garbage first, so that memory begins at what is in use. */
      readonly collects?: true;
    };

export type Operation =
  'insertFamilies' | 'changeMeasurements' | 'loadMeasurements' | 'loadMeasurementsReadOnly' | 'loadFamilies';

export interface JobResult extends WorkDone {
  /** Peak of the resident set above where it was before, MiB; says something only where garbage was collected first. */
  readonly peakMiB: number;
  /** What the last call gave, in numbers: rows, and what lies below them. */
  readonly seen?: { readonly rows: number; readonly below: number };
}

export type BenchMessage =
  { readonly opened: readonly (keyof BenchContender)[] } | { readonly result: JobResult } | { readonly failed: string };
