import { anchorOf } from '../contenders/anchor.js';
import { spreadOf } from '../report/series.js';
import { sumOf, type WorkDone } from './work-done.js';

/** A contender's processes, all alike: compilers are kinder to one than to another, and not for a single round. */
export interface Lane<Process> {
  readonly contender: string;
  readonly processes: readonly Process[];
  /** What it did, round by round. */
  readonly rounds: WorkDone[];
}

export interface Rounds {
  /** In which all take part. */
  readonly common: number;
  /** Further ones of the anchor and those that keep up with it: how they compare is seen only in many. */
  readonly close: number;
}

/** Who takes so many times as long as the anchor does not keep up with it. */
const FAR = 2;

/** Goes round after round from one to the next, so that what disturbs the machine disturbs all. */
export async function goRounds<Process>(
  lanes: readonly Lane<Process>[],
  { common, close }: Rounds,
  measure: (process: Process) => Promise<WorkDone>,
): Promise<void> {
  for (let round = 0; round < common; round++) await goRound(lanes, round, measure);
  const left = keepingUp(lanes);
  if (left.length < 2) return;
  for (let round = common; round < common + close; round++) await goRound(left, round, measure);
}

/**
 * One after the other, and all the way back: a machine that gets faster or slower meanwhile does so for each. Each way
 * meets the next process of each, where it has several.
 */
async function goRound<Process>(
  lanes: readonly Lane<Process>[],
  round: number,
  measure: (process: Process) => Promise<WorkDone>,
): Promise<void> {
  const on = ({ processes }: Lane<Process>, way: number): Process => processes[(2 * round + way) % processes.length]!;
  const there = new Map<Lane<Process>, WorkDone>();
  for (const lane of lanes) there.set(lane, await measure(on(lane, 0)));
  for (const lane of [...lanes].reverse()) lane.rounds.push(sumOf([there.get(lane)!, await measure(on(lane, 1))]));
}

/** Nobody where there is no anchor. */
function keepingUp<Process>(lanes: readonly Lane<Process>[]): readonly Lane<Process>[] {
  const anchor = anchorOf(lanes);
  if (anchor === undefined) return [];
  return lanes.filter((lane) => paceOf(lane) <= FAR * paceOf(anchor));
}

function paceOf({ rounds }: Lane<unknown>): number {
  return spreadOf(rounds.map(({ operations, ms }) => ms / operations)).median;
}
