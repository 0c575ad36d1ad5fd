import type pg from 'pg';
import { contenderNames, type Contender } from '../contenders/contenders.js';
import type { Measured } from '../report/results.js';
import { spreadOf } from '../report/series.js';
import { CountingProxy } from '../wire/counting-proxy.js';
import type { Job, JobResult } from './job.js';
import type { CountedContenders } from './counted-contenders.js';
import { RunningContender } from './running-contender.js';
import type { Workload } from './workload.js';

export interface Pace {
  readonly rounds: number;
  /** For fixed work, whose rounds are long. */
  readonly fixedRounds: number;
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
  readonly pace: Pace;
  readonly log: (line: string) => void;
  readonly counted: CountedContenders;
}

/** Measures one workload: all contenders warm, then round by round in turn, each result checked. */
export async function measureWorkload(workload: Workload, bench: Bench): Promise<Measured[]> {
  const { client, pace, log } = bench;
  await workload.prepare?.(client);
  await using proxy =
    workload.delay === undefined ? undefined : await CountingProxy.start(bench.url, { delay: workload.delay });
  const running: RunningContender[] = [];
  try {
    const names = contenderNames.filter((each) => bench.asked.includes(each));
    const started = await Promise.allSettled(
      names.map((name) => RunningContender.start(name, proxy?.url ?? bench.url)),
    );
    const failed = started.find((one) => one.status === 'rejected');
    const all = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    running.push(...all.filter(({ offers }) => failed === undefined && offers.has(workload.needs)));
    for (const one of all) if (!running.includes(one)) await one[Symbol.asyncDispose]();
    if (failed !== undefined) throw failed.reason;
    const peaks = new Map<RunningContender, number>();
    for (const contender of running) peaks.set(contender, await warmUp(workload, contender, bench));
    const results = new Map<RunningContender, JobResult[]>(running.map((contender) => [contender, []]));
    const rounds = workload.fixed ? pace.fixedRounds : pace.rounds;
    for (let round = 0; round < rounds; round++) {
      for (const [contender, its] of results) {
        const result = await contender.run(workload.job(pace.ms));
        await workload.check?.(client, result);
        its.push(result);
      }
    }
    const measured: Measured[] = [];
    for (const [contender, its] of results) {
      measured.push({ ...(await summarize(workload, contender, its, bench)), peakMiB: peaks.get(contender)! });
    }
    for (const { contender, figure } of measured) {
      log(`${workload.id} · ${contender}: ${figure.median.toFixed(1)} ${workload.unit}`);
    }
    return measured;
  } finally {
    for (const contender of running) await contender[Symbol.asyncDispose]();
  }
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
  const end = performance.now() + pace.warmUpMs;
  const runs = workload.fixed === true ? pace.fixedWarmUps : 1;
  let peak = 0;
  for (let run = 0; run < runs && performance.now() < end; run++) {
    const job = workload.job(pace.warmUpMs);
    const { peakMiB } = await contender.run(job.kind === 'call' ? { ...job, collects: true } : job);
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
  const figures = results.map(({ operations, ms }) => (workload.unit === 'ms' ? ms : (operations / ms) * 1_000));
  const operations = results.reduce((sum, result) => sum + result.operations, 0);
  return {
    workload: workload.id,
    title: workload.title,
    unit: workload.unit,
    contender: contender.name,
    figure: spreadOf(figures),
    cpuMs: results.reduce((sum, result) => sum + result.cpuMs, 0) / operations,
    wire: await count(workload, contender.name, bench),
  };
}

/** What goes over the wire for one operation, seen behind a proxy of its own. */
async function count(
  workload: Workload,
  name: Contender,
  { client, counted }: Bench,
): Promise<NonNullable<Measured['wire']>> {
  const { proxy, contender } = await counted.of(name);
  const once = sample(workload.job(10_000));
  await workload.prepare?.(client);
  if (once.kind !== 'call') await contender.run(once);
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
    case 'call':
      return job;
  }
}
