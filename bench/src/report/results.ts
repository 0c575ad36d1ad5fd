import type { Contender } from '../contenders/contenders.js';
import type { WireCounts } from '../wire/counting-proxy.js';
import type { Spread } from './series.js';

/** What a run of the workloads found. */
export interface Results {
  readonly machine: string;
  readonly node: string;
  readonly server: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly measured: readonly Measured[];
}

/** One contender, one workload. */
export interface Measured {
  readonly workload: string;
  readonly title: string;
  readonly unit: 'per s' | 'ms';
  readonly contender: Contender | (string & {});
  readonly figure: Spread;
  /** Milliseconds of client CPU for each operation. */
  readonly cpuMs?: number;
  readonly peakMiB?: number;
  /** For each operation, counted in a run of its own. */
  readonly wire?: Pick<WireCounts, 'statements' | 'roundTrips'>;
}
