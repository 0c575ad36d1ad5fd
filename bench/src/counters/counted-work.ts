import { accounts } from '../bank/bank-schema.js';
import type { BenchContender } from '../contenders/contender.js';

/** A piece of a workload that does the same each time, small enough to be counted everywhere. */
export interface CountedWork {
  readonly name: string;
  /** How often it is done while it is counted. */
  readonly times: number;
  /** What one time counts as; figures are for one of these. */
  readonly operations: number;
  run(on: Counted, time: number): Promise<unknown>;
}

export interface Counted {
  readonly contender: BenchContender;
  /** Sends one GET to the application and waits for its answer. */
  get(): Promise<void>;
}

/** In this order: families are read before more of them are written. */
export const countedWork: readonly CountedWork[] = [
  {
    name: 'A: a transfer',
    times: 200,
    operations: 1,
    run: ({ contender }, time) => contender.transfer((time % accounts) + 1, ((time + 501) % accounts) + 1, 1),
  },
  {
    name: 'B: a transaction of its own in which nothing happens',
    times: 2_000,
    operations: 1,
    run: ({ contender }) => contender.emptyTransaction(),
  },
  {
    name: 'B: a joined call',
    times: 10,
    operations: 200,
    run: ({ contender }) => contender.joinedCalls!(200),
  },
  {
    name: 'D: a row that is loaded, changed and written back',
    times: 5,
    operations: 1_000,
    run: ({ contender }) => contender.changeMeasurements!(1_000),
  },
  {
    name: 'E: a row',
    times: 5,
    operations: 2_000,
    run: ({ contender }) => contender.loadMeasurements!(2_000),
  },
  {
    name: 'E: a row, read-only',
    times: 5,
    operations: 2_000,
    run: ({ contender }) => contender.loadMeasurementsReadOnly!(2_000),
  },
  {
    name: 'E: a parent with its ten children',
    times: 5,
    operations: 200,
    run: ({ contender }) => contender.loadFamilies!(),
  },
  {
    name: 'E: a find by key of what is loaded, or is then',
    times: 1,
    operations: 10_000,
    run: ({ contender }) => contender.findAccounts!((find) => find(10_000)),
  },
  {
    name: 'C: a parent with ten children, inserted',
    times: 5,
    operations: 200,
    run: ({ contender }) => contender.insertFamilies!(200, 10),
  },
  {
    name: 'F: a GET without a database',
    times: 1_000,
    operations: 1,
    run: ({ get }) => get(),
  },
];

/** What one operation costs. */
export interface Counters {
  readonly statements: number;
  readonly roundTrips: number;
  readonly bytesToServer: number;
  readonly bytesToClient: number;
  /** Bytes allocated on JavaScript's heap, by everything in the process, without the optimizing compilers. */
  readonly allocated: number;
  /** Calls of the library's functions, and of blocks in them that run another number of times. */
  readonly steps: number;
}
