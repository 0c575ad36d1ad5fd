import pg from 'pg';
import { openBank } from '../bank/bank-schema.js';
import { contenderNames } from '../contenders/contenders.js';
import { measureHttp } from '../http/measure-http.js';
import { startBenchDatabase } from '../postgres.js';
import type { Measured, Results } from '../report/results.js';
import { machine, versions } from '../report/surroundings.js';
import { writeReport } from '../report/write-report.js';
import { CountedContenders } from './counted-contenders.js';
import { measureWorkload, type Bench, type Pace } from './measure.js';
import { workloads } from './workload.js';

const full: Pace = {
  rounds: 5,
  fixedRounds: 5,
  fixedWarmUps: 20,
  ms: 1_000,
  warmUpMs: 5_000,
  warmUpOperations: 20_000,
  longestWarmUpMs: 6_000,
};
const quick: Pace = {
  rounds: 3,
  fixedRounds: 1,
  fixedWarmUps: 3,
  ms: 250,
  warmUpMs: 500,
  warmUpOperations: 0,
  longestWarmUpMs: 500,
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
  await using database = await startBenchDatabase();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  await using _ = { [Symbol.asyncDispose]: () => client.end() };
  await openBank(client);
  const pace = choice.quick ? quick : full;
  await using counted = new CountedContenders(database.url);
  const bench: Bench = { url: database.url, client, asked, pace, log: console.log, counted };
  const measured: Measured[] = [];
  for (const workload of chosen) measured.push(...(await measureWorkload(workload, bench)));
  if (choice.groups.length === 0 || choice.groups.includes('F')) measured.push(...(await measureHttp(bench)));
  const results: Results = {
    machine: machine(),
    node: process.version,
    server: database.server,
    versions: versions(),
    rounds: pace.rounds,
    measured,
  };
  await writeReport(results, choice.reference);
}
