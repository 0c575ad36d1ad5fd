import type pg from 'pg';
import type { Contender } from '../contenders/contenders.js';
import { startTogether } from '../process/start-together.js';
import type { Measured } from '../report/results.js';
import { spreadOf } from '../report/series.js';
import { CountingProxy } from '../wire/counting-proxy.js';
import type { Job } from './job.js';
import type { CountedContenders } from './counted-contenders.js';
import { goRounds, type Lane, type Rounds } from './rounds.js';
import { RunningContender } from './running-contender.js';
import { sumOf } from './work-done.js';
import type { Workload } from './workload.js';

export interface Pace {
  /** Of each contender. */
  readonly processes: 1 | 2;
  readonly rounds: Rounds;
  /** Of work whose rounds are long. */
  readonly longRounds: Rounds;
  /** How often fixed work is done before, unless it takes longer than the warm-up may. */
  readonly fixedWarmUps: number;
  /**
   * What comes untimed before each time that a process is measured, milliseconds: while the others had their turns its
   * pool has closed what was idle, and emptied tables have the server plan everything anew. A server under load has neither.
   */
  readonly leadMs: number;
  /** Of each time that a process is measured; milliseconds. */
  readonly ms: number;
  /** The same for work of one size, of which a time has to hold several; milliseconds. */
  readonly fixedMs: number;
  /** The longest warm-up; milliseconds. */
  readonly warmUpMs: number;
  /**
   * How many transfers or requests come before: each runs much code once, and the compilers are at it for some ten
   * thousand of them, however fast these come.
   */
  readonly warmUpOperations: number;
  /** For so many operations; milliseconds. */
  readonly longestWarmUpMs: number;
}

export interface Bench {
  readonly url: string;
  /** A connection that sets up and checks. */
  readonly client: pg.Client;
  readonly asked: readonly Contender[];
  /** What contenders offer, of those that were started before. */
  readonly offers: Map<Contender, RunningContender['offers']>;
  readonly pace: Pace;
  readonly log: (line: string) => void;
  readonly counted: CountedContenders;
}

interface Entrant extends Lane<RunningContender> {
  readonly contender: Contender;
  readonly offers: RunningContender['offers'];
}

/** Measures workloads that share the processes of their contenders. */
export async function measureShared(workloads: readonly Workload[], bench: Bench): Promise<Measured[]> {
  const { delay } = workloads[0]!;
  await using proxy = delay === undefined ? undefined : await CountingProxy.start(bench.url, { delay });
  const isNeeded = (offers: RunningContender['offers'] | undefined): boolean =>
    offers === undefined || workloads.some(({ needs }) => offers.has(needs));
  const needed = bench.asked.filter((name) => isNeeded(bench.offers.get(name)));
  const url = proxy?.url ?? bench.url;
  await using started = await startTogether(
    Array.from({ length: bench.pace.processes }, () =>
      needed.map((name) => () => RunningContender.start(name, url)),
    ).flat(),
  );
  const entrants: Omit<Entrant, 'rounds'>[] = [];
  for (const name of needed) {
    const processes = started.all.filter((one) => one.name === name);
    const { offers } = processes[0]!;
    bench.offers.set(name, offers);
    if (isNeeded(offers)) entrants.push({ contender: name, offers, processes });
    else await Promise.all(processes.map((process) => process[Symbol.asyncDispose]()));
  }
  const measured: Measured[] = [];
  const warm = new Set<RunningContender>();
  for (const workload of workloads) {
    const able = entrants.filter(({ offers }) => offers.has(workload.needs));
    const lanes = able.map((one) => ({ ...one, rounds: [] }));
    measured.push(...(await measureWorkload(workload, lanes, { proxy, warm }, bench)));
  }
  return measured;
}

/** What the workloads of a group share. */
interface Shared {
  readonly proxy: CountingProxy | undefined;
  /** Those that have done as many operations as the compilers need. */
  readonly warm: Set<RunningContender>;
}

/** Measures one workload: all processes warm, then round by round in turn, each result checked. */
async function measureWorkload(
  workload: Workload,
  lanes: readonly Entrant[],
  { proxy, warm }: Shared,
  bench: Bench,
): Promise<Measured[]> {
  const { client, pace, log } = bench;
  await workload.prepare?.(client);
  const peaks = new Map<Entrant, number>();
  // What waits for round trips gets warm slowly.
  proxy?.letThrough(true);
  for (const lane of lanes) {
    const found: number[] = [];
    for (const process of lane.processes) found.push(await warmUp(workload, process, warm, bench));
    peaks.set(lane, Math.max(...found));
  }
  proxy?.letThrough(false);
  const isLong = workload.fixed === true || workload.roundMs !== undefined;
  await goRounds(lanes, isLong ? pace.longRounds : pace.rounds, async (process) => {
    const lead = pace.leadMs === 0 ? undefined : await process.run(workload.job(pace.leadMs));
    const result = await process.run(jobOf(workload, pace));
    await workload.check?.(client, { ...result, operations: result.operations + (lead?.operations ?? 0) });
    return result;
  });
  // All start at the same time.
  await Promise.all(lanes.map(({ contender }) => bench.counted.of(contender)));
  const measured: Measured[] = [];
  for (const lane of lanes) {
    const summary = await summarize(workload, lane, bench);
    measured.push({ ...summary, ...(workload.fixed ? { peakMiB: peaks.get(lane)! } : {}) });
  }
  for (const { contender, figure } of measured) {
    log(`${workload.id} · ${contender}: ${figure.median.toFixed(1)} ${workload.unit}`);
  }
  return measured;
}

function jobOf({ fixed, job, roundMs = 0 }: Workload, { ms, fixedMs }: Pace): Job {
  return job(Math.max(fixed ? fixedMs : ms, roundMs));
}

/**
 * Runs a workload untimed, until the compiler has seen what there is; fixed work a few times over, or for as long as
 * the pace says. Memory is measured here, with garbage collected before each run, so that in the timed rounds each
 * process collects when it has to, and pays for it: what is forced makes V8 throw compiled code away and save on heap.
 * @returns its peak of memory
 */
async function warmUp(
  workload: Workload,
  contender: RunningContender,
  warm: Set<RunningContender>,
  { client, pace }: Bench,
): Promise<number> {
  if (warm.has(contender)) return 0;
  const many = workload.many?.(pace.longestWarmUpMs, pace.warmUpOperations);
  if (many !== undefined && pace.warmUpOperations > 0) {
    const { peakMiB } = await contender.run(many);
    warm.add(contender);
    await workload.prepare?.(client);
    return peakMiB;
  }
  const end = performance.now() + Math.max(pace.warmUpMs, workload.roundMs ?? 0);
  const runs = workload.fixed ? pace.fixedWarmUps : Infinity;
  let peak = 0;
  for (let run = 0; run < runs; run++) {
    const left = end - performance.now();
    if (left <= 0) break;
    const job = workload.job(left);
    const { peakMiB } = await contender.run(job.kind === 'calls' ? { ...job, limit: 1, collects: true } : job);
    peak = Math.max(peak, peakMiB);
    await workload.prepare?.(client);
  }
  return peak;
}

async function summarize(workload: Workload, { contender, rounds }: Entrant, bench: Bench): Promise<Measured> {
  const figures = rounds.map(({ operations, ms }) =>
    workload.unit === 'ms' ? ms / operations : (operations / ms) * 1_000,
  );
  const { operations, cpuMs } = sumOf(rounds);
  return {
    workload: workload.id,
    title: workload.title,
    unit: workload.unit,
    contender,
    figure: spreadOf(figures),
    cpuMs: cpuMs / operations,
    ...(workload.uncounted ? {} : { wire: await count(workload, contender, bench) }),
  };
}

/** What goes over the wire for one operation, seen behind a proxy of its own. */
async function count(
  workload: Workload,
  name: Contender,
  { client, counted, pace }: Bench,
): Promise<NonNullable<Measured['wire']>> {
  const { proxy, contender } = await counted.of(name);
  const once = sample(jobOf(workload, pace));
  await workload.prepare?.(client);
  await contender.run(little(once));
  await workload.prepare?.(client);
  proxy.takeCounts();
  const { operations } = await contender.run(once);
  const { statements, roundTrips } = proxy.takeCounts();
  await workload.prepare?.(client);
  return { statements: statements / operations, roundTrips: roundTrips / operations };
}

function sample(job: Job): Job {
  switch (job.kind) {
    case 'transfers':
      return { ...job, concurrency: 1, limit: 20 };
    case 'empty':
    case 'joined':
      return { ...job, limit: 200 };
    case 'calls':
      return { ...job, limit: 1 };
    case 'finds':
      return job;
  }
}

/** A little of the same, so that the connection is there. */
function little(job: Job): Job {
  return job.kind === 'calls' ? { ...job, args: job.args.map(() => 1) } : { ...job, limit: 20 };
}
