// One contender's process: opens it and does jobs, one at a time.
import { existsSync, writeFileSync } from 'node:fs';
import { accounts } from '../bank/bank-schema.js';
import type { BenchContender, ContenderModule, Find } from '../contenders/contender.js';
import type { BenchMessage, Job, JobResult } from './job.js';

const [name, url, poolSize] = process.argv.slice(2) as [string, string, string];
const { open } = (await import(`../contenders/${name}.js`)) as ContenderModule;
const contender: BenchContender = await open({ url, poolSize: Number(poolSize) });

const callsAtOnce = 200;
let seed = 42;

/** The same sequence in every process. */
function random(below: number): number {
  seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fff_ffff;
  return Math.floor((seed / 0x8000_0000) * below);
}

async function transferAtRandom(): Promise<void> {
  const source = random(accounts) + 1;
  const target = ((source + random(accounts - 1)) % accounts) + 1;
  await contender.transfer(source, target, 1);
}

async function repeat(work: () => Promise<unknown>, ms: number, limit = Infinity, weight = 1): Promise<number> {
  const end = performance.now() + ms;
  let done = 0;
  do {
    await work();
    done += weight;
  } while (done < limit && performance.now() < end);
  return done;
}

async function transfers(concurrency: number, ms: number, limit = Infinity): Promise<number> {
  const share = Math.ceil(limit / concurrency);
  const done = await Promise.all(Array.from({ length: concurrency }, () => repeat(transferAtRandom, ms, share)));
  return done.reduce((sum, each) => sum + each, 0);
}

function measure(rows: readonly any[]): NonNullable<JobResult['seen']> {
  let below = 0;
  for (const row of rows) below += row.quantity ?? row.children?.length ?? 0;
  return { rows: rows.length, below };
}

const peakReset = '/proc/self/clear_refs';

/** What was needed to start is no part of the peak; where this is not Linux, the system does not forget it. */
function forgetPeak(): void {
  if (existsSync(peakReset)) writeFileSync(peakReset, '5');
}

/** @param work gives how many operations it did */
async function timed(work: () => Promise<number>): Promise<JobResult> {
  const rss = process.memoryUsage.rss();
  const cpu = process.cpuUsage();
  const start = performance.now();
  const operations = await work();
  const ms = performance.now() - start;
  const { user, system } = process.cpuUsage(cpu);
  const peakMiB = Math.max(0, process.resourceUsage().maxRSS / 1024 - rss / 1024 / 1024);
  return { operations, ms, cpuMs: (user + system) / 1000, peakMiB };
}

async function perform(job: Job): Promise<JobResult> {
  switch (job.kind) {
    case 'transfers':
      return await timed(() => transfers(job.concurrency, job.ms, job.limit));
    case 'empty':
      return await timed(() => repeat(() => contender.emptyTransaction(), job.ms, job.limit));
    case 'joined':
      return await timed(() => repeat(() => contender.joinedCalls!(callsAtOnce), job.ms, job.limit, callsAtOnce));
    case 'finds': {
      const finds = (find: Find): Promise<number> => repeat(() => find(callsAtOnce), job.ms, job.limit, callsAtOnce);
      if (!job.loaded) return await timed(() => contender.findAccounts!(finds));
      return await contender.findAccounts!(async (find) => {
        await find(accounts);
        return await timed(() => finds(find));
      });
    }
    case 'calls': {
      if (job.collects === true) {
        globalThis.gc?.();
        forgetPeak();
      }
      const operation = contender[job.operation] as (...args: readonly number[]) => Promise<unknown>;
      let value: unknown;
      const call = async (): Promise<void> => {
        value = await operation(...job.args);
      };
      const result = await timed(() => repeat(call, job.ms, job.limit));
      return Array.isArray(value) ? { ...result, seen: measure(value) } : result;
    }
  }
}

function tell(message: BenchMessage): void {
  process.send!(message);
}

process.on('message', (job: Job) => {
  perform(job).then(
    (result) => {
      tell({ result });
    },
    (error: unknown) => {
      tell({ failed: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    },
  );
});
process.on('disconnect', () => {
  process.exit();
});
tell({ opened: Object.keys(contender) as (keyof BenchContender)[] });
