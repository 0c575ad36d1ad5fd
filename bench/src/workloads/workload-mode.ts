import pg from 'pg';
import { openBank } from '../bank/bank-schema.js';
import { contenderNames } from '../contenders/contenders.js';
import { httpWorkloads, measureHttp } from '../http/measure-http.js';
import { startBenchDatabase } from '../postgres.js';
import type { Measured } from '../report/results.js';
import { machine, versions } from '../report/surroundings.js';
import { writeReport } from '../report/write-report.js';
import { CountedContenders } from './counted-contenders.js';
import { measureShared, type Bench, type Pace } from './measure.js';
import { workloads, type Workload } from './workload.js';

const full: Pace = {
  processes: 2,
  rounds: { common: 3, close: 20 },
  longRounds: { common: 3, close: 5 },
  fixedWarmUps: 60,
  leadMs: 200,
  ms: 500,
  fixedMs: 1_000,
  warmUpMs: 4_000,
  warmUpOperations: 40_000,
  longestWarmUpMs: 12_000,
};
const quick: Pace = {
  processes: 1,
  rounds: { common: 1, close: 1 },
  longRounds: { common: 1, close: 0 },
  fixedWarmUps: 2,
  leadMs: 0,
  ms: 150,
  fixedMs: 150,
  warmUpMs: 200,
  warmUpOperations: 0,
  longestWarmUpMs: 200,
};

export interface WorkloadChoice {
  readonly groups: readonly string[];
  readonly only: readonly string[] | undefined;
  readonly quick: boolean;
  /** Results become those that the documentation shows. */
  readonly reference: boolean;
}

export async function workloadMode(choice: WorkloadChoice): Promise<void> {
  const asked = contenderNames.filter((name) => choice.only?.includes(name) ?? true);
  const chosen = workloads.filter(({ group }) => choice.groups.length === 0 || choice.groups.includes(group));
  const http = choice.groups.length === 0 || choice.groups.includes('F') ? httpWorkloads : [];
  const pace = choice.quick ? quick : full;
  console.log(
    `${chosen.length + http.length} workloads, ${asked.length} contenders, ${pace.rounds.common} rounds, ${pace.rounds.close} more of those that keep up`,
  );
  await using database = await startBenchDatabase();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  await using _ = { [Symbol.asyncDispose]: () => client.end() };
  await openBank(client);
  await using counted = new CountedContenders(database.url);
  const bench: Bench = { url: database.url, client, asked, offers: new Map(), pace, log: console.log, counted };
  const surroundings = { machine: machine(), node: process.version, server: database.server, versions: versions() };
  const measured: Measured[] = [];
  // An hour's figures are not lost with whatever ends it early.
  const note = async (found: readonly Measured[]): Promise<void> => {
    measured.push(...found);
    await writeReport({ ...surroundings, measured }, false);
  };
  for (const shared of sharing(chosen)) await note(await measureShared(shared, bench));
  for (const workload of http) await note(await measureHttp(workload, bench));
  console.log(`\n${await writeReport({ ...surroundings, measured }, choice.reference)}`);
}

/** Those of a group share their processes; fixed work has its own, because its memory is measured. */
function sharing(chosen: readonly Workload[]): Workload[][] {
  const shared = new Map<string, Workload[]>();
  for (const workload of chosen) {
    const key = workload.fixed ? workload.id : workload.group;
    shared.set(key, [...(shared.get(key) ?? []), workload]);
  }
  return [...shared.values()];
}
