import type pg from 'pg';
import type { Contender } from '../contenders/contenders.js';
import { startTogether } from '../process/start-together.js';
import type { Measured } from '../report/results.js';
import { spreadOf } from '../report/series.js';
import { CountingProxy } from '../wire/counting-proxy.js';
import type { Job, JobResult } from './job.js';
import type { CountedContenders } from './counted-contenders.js';
import { RunningContender } from './running-contender.js';
import type { Workload } from './workload.js';

export interface Pace {
  readonly rounds: number;
  /** Of work whose rounds are long. */
  readonly longRounds: number;
  /** How often fixed work is done before, unless it takes longer than the warm-up may. */
  readonly fixedWarmUps: number;
  /** Of one round; milliseconds. */
  readonly ms: number;
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

/** Measures workloads that share the processes of their contenders. */
export async function measureShared(workloads: readonly Workload[], bench: Bench): Promise<Measured[]> {
  const { delay } = workloads[0]!;
  await using proxy = delay === undefined ? undefined : await CountingProxy.start(bench.url, { delay });
  const isNeeded = (offers: RunningContender['offers'] | undefined): boolean =>
    offers === undefined || workloads.some(({ needs }) => offers.has(needs));
  await using started = await startTogether(
    bench.asked
      .filter((name) => isNeeded(bench.offers.get(name)))
      .map((name) => RunningContender.start(name, proxy?.url ?? bench.url)),
  );
  for (const contender of started.all) {
    bench.offers.set(contender.name, contender.offers);
    if (!isNeeded(contender.offers)) await contender[Symbol.asyncDispose]();
  }
  const measured: Measured[] = [];
  for (const workload of workloads) {
    const running = started.all.filter(({ offers }) => offers.has(workload.needs));
    measured.push(...(await measureWorkload(workload, running, proxy, bench)));
  }
  return measured;
}

/** Measures one workload: all contenders warm, then round by round in turn, each result checked. */
async function measureWorkload(
  workload: Workload,
  running: readonly RunningContender[],
  proxy: CountingProxy | undefined,
  bench: Bench,
): Promise<Measured[]> {
  const { client, pace, log } = bench;
  await workload.prepare?.(client);
  const peaks = new Map<RunningContender, number>();
  // What waits for round trips gets warm slowly.
  proxy?.letThrough(true);
  for (const contender of running) peaks.set(contender, await warmUp(workload, contender, bench));
  proxy?.letThrough(false);
  const results = new Map<RunningContender, JobResult[]>(running.map((contender) => [contender, []]));
  const rounds = workload.fixed || workload.roundMs !== undefined ? pace.longRounds : pace.rounds;
  for (let round = 0; round < rounds; round++) {
    for (const [contender, its] of results) {
      const result = await contender.run(roundOf(workload, pace));
      await workload.check?.(client, result);
      its.push(result);
    }
  }
  // All start at the same time.
  await Promise.all(running.map(({ name }) => bench.counted.of(name)));
  const measured: Measured[] = [];
  for (const [contender, its] of results) {
    const summary = await summarize(workload, contender, its, bench);
    measured.push({ ...summary, ...(workload.fixed ? { peakMiB: peaks.get(contender)! } : {}) });
  }
  for (const { contender, figure } of measured) {
    log(`${workload.id} · ${contender}: ${figure.median.toFixed(1)} ${workload.unit}`);
  }
  return measured;
}

function roundOf({ job, roundMs = 0 }: Workload, { ms }: Pace): Job {
  return job(Math.max(ms, roundMs));
}

/**
 * Runs a workload untimed, until the compiler has seen what there is; fixed work a few times over, or for as long as
 * the pace says. Memory is measured here, with garbage collected before each run, so that in the timed rounds each
 * process collects when it has to, and pays for it: what is forced makes V8 throw compiled code away and save on heap.
 * @returns its peak of memory
 */
async function warmUp(workload: Workload, contender: RunningContender, { client, pace }: Bench): Promise<number> {
  const many = workload.many?.(pace.longestWarmUpMs, pace.warmUpOperations);
  if (many !== undefined && pace.warmUpOperations > 0) {
    const { peakMiB } = await contender.run(many);
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

async function summarize(
  workload: Workload,
  contender: RunningContender,
  results: readonly JobResult[],
  bench: Bench,
): Promise<Measured> {
  const figures = results.map(({ operations, ms }) =>
    workload.unit === 'ms' ? ms / operations : (operations / ms) * 1_000,
  );
  const operations = results.reduce((sum, result) => sum + result.operations, 0);
  return {
    workload: workload.id,
    title: workload.title,
    unit: workload.unit,
    contender: contender.name,
    figure: spreadOf(figures),
    cpuMs: results.reduce((sum, result) => sum + result.cpuMs, 0) / operations,
    ...(workload.uncounted ? {} : { wire: await count(workload, contender.name, bench) }),
  };
}

/** What goes over the wire for one operation, seen behind a proxy of its own. */
async function count(
  workload: Workload,
  name: Contender,
  { client, counted, pace }: Bench,
): Promise<NonNullable<Measured['wire']>> {
  const { proxy, contender } = await counted.of(name);
  const once = sample(roundOf(workload, pace));
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
