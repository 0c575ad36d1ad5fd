import { accounts } from '../bank/bank-schema.js';
import type { Contender } from '../contenders/contenders.js';
import { ContenderProcess } from '../process/contender-process.js';
import { startTogether } from '../process/start-together.js';
import type { Measured } from '../report/results.js';
import { spreadOf } from '../report/series.js';
import { goRounds, type Lane } from '../workloads/rounds.js';
import { sumOf, type WorkDone } from '../workloads/work-done.js';
import { workloads } from '../workloads/workload.js';
import type { Bench } from '../workloads/measure.js';
import type { HttpMessage, Kind, Layer, Platform } from './http-process.js';
import { load, type LoadResult } from './http-load.js';

/** One application under load. */
interface Served {
  readonly label: Contender | (string & {});
  readonly kind: Kind;
  /** Whose modules it imports; none for a bare application. */
  readonly modules: Contender | 'none';
  readonly platform: Platform;
  readonly layer?: Layer;
}

const connections = 16;
const patience = 30_000;
const bank = workloads.find(({ group }) => group === 'A')!;

const posting: readonly Contender[] = [
  'pg',
  'typeorm',
  'typeorm-transactional',
  'nestjs-cls',
  'mikro-orm',
  'drizzle',
  'nestjs-uow',
];

const greeting: readonly Omit<Served, 'platform'>[] = [
  { label: 'bare Nest', kind: 'get', modules: 'none' },
  { label: 'bare Nest, a middleware that does nothing', kind: 'get', modules: 'none', layer: 'no-op' },
  { label: 'bare Nest, AsyncLocalStorage.run', kind: 'get', modules: 'none', layer: 'async-local-storage' },
  { label: 'bare Nest, Scope.REQUEST', kind: 'get-request', modules: 'none' },
  { label: 'nestjs-uow', kind: 'get', modules: 'nestjs-uow' },
  { label: 'nestjs-uow, REQUEST_DB_SESSION', kind: 'get-session', modules: 'nestjs-uow' },
  { label: 'nestjs-cls', kind: 'get', modules: 'nestjs-cls' },
];

/** Something that applications are asked over HTTP. */
export interface HttpWorkload {
  readonly id: string;
  readonly title: string;
  /** How many times the processes of other work: so little is done for each request that much depends on the process. */
  readonly times: number;
  served(asked: readonly Contender[]): readonly Served[];
}

/** `POST /transfers` on Nest's Express adapter, and a GET that needs no database on both. */
export const httpWorkloads: readonly HttpWorkload[] = [
  {
    id: 'F, POST /transfers',
    title: `POST /transfers, ${connections} connections`,
    times: 1,
    served: (asked) =>
      posting
        .filter((name) => asked.includes(name))
        .map((name) => ({ label: name, kind: 'transfers', modules: name, platform: 'Express' })),
  },
  greetings('F, GET', 'Express'),
  greetings('F, GET, Fastify', 'Fastify'),
];

function greetings(id: string, platform: Platform): HttpWorkload {
  return {
    id,
    title: `GET without a database, ${platform}, ${connections} connections`,
    times: 2,
    served: () => greeting.map((one) => ({ ...one, platform })),
  };
}

interface Running extends AsyncDisposable {
  readonly application: Served;
  readonly process: ContenderProcess<HttpMessage>;
  readonly port: number;
}

async function start(application: Served, url: string): Promise<Running> {
  const process = new ContenderProcess<HttpMessage>(new URL('./http-process.js', import.meta.url), [
    application.kind,
    application.modules,
    url,
    application.platform,
    application.layer ?? 'none',
  ]);
  const end = (): Promise<void> => process.end();
  const first = await process.next(patience);
  if (first.kind === 'message' && 'port' in first.message) {
    return { application, process, port: first.message.port, [Symbol.asyncDispose]: end };
  }
  await end();
  throw new Error(`${application.label} did not listen: ${process.errors}`);
}

/** All applications warm, then round by round in turn. */
export async function measureHttp({ id, title, times, served }: HttpWorkload, bench: Bench): Promise<Measured[]> {
  const { pace, url, asked, log } = bench;
  const applications = served(asked);
  await using started = await startTogether(
    Array.from({ length: pace.processes * times }, () =>
      applications.map((application) => () => start(application, url)),
    ).flat(),
  );
  for (const one of started.all) await warmUp(one, bench);
  const lanes = applications.map((application): Lane<Running> => {
    const processes = started.all.filter((one) => one.application === application);
    return { contender: application.label, processes, rounds: [] };
  });
  await goRounds(lanes, pace.rounds, (process) => measureOnce(process, bench));
  return lanes.map(({ contender, rounds }) => {
    const figure = spreadOf(rounds.map(({ operations, ms }) => (operations / ms) * 1_000));
    log(`${id} · ${contender}: ${figure.median.toFixed(1)} per s`);
    const { operations, cpuMs } = sumOf(rounds);
    return { workload: id, title, unit: 'per s', contender, figure, cpuMs: cpuMs / operations };
  });
}

async function measureOnce(one: Running, { pace, client }: Bench): Promise<WorkDone> {
  await bank.prepare?.(client);
  const lead = pace.leadMs === 0 ? 0 : (await request(one, pace.leadMs)).requests;
  await cpuOf(one);
  const { requests: operations, ms } = await request(one, pace.ms);
  const done = { operations, ms, cpuMs: await cpuOf(one) };
  if (one.application.kind === 'transfers') {
    await bank.check?.(client, { ...done, operations: operations + lead, peakMiB: 0 });
  }
  return done;
}

async function warmUp(one: Running, { pace, client }: Bench): Promise<void> {
  const end = performance.now() + pace.longestWarmUpMs;
  let answered = 0;
  do {
    await bank.prepare?.(client);
    answered += (await request(one, Math.min(1_500, pace.warmUpMs))).requests;
  } while (answered < pace.warmUpOperations && performance.now() < end);
}

async function cpuOf({ process }: Running): Promise<number> {
  process.send('cpu');
  const answer = await process.next(patience);
  if (answer.kind !== 'message' || !('cpuMs' in answer.message)) throw new Error(process.errors);
  return answer.message.cpuMs;
}

let turn = 0;

function transferRequest(): Buffer {
  turn += 1;
  const source = (turn % accounts) + 1;
  const target = ((turn * 7 + 13) % accounts) + 1;
  const body = JSON.stringify({ source, target: target === source ? (target % accounts) + 1 : target, amount: 1 });
  return Buffer.from(
    `POST /transfers HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
}

const greetingRequest = Buffer.from('GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');

function request({ application, port }: Running, ms: number): Promise<LoadResult> {
  return application.kind === 'transfers'
    ? load(port, connections, ms, 201, transferRequest)
    : load(port, connections, ms, 200, () => greetingRequest);
}
