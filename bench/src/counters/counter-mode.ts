import { readFile, writeFile } from 'node:fs/promises';
import pg from 'pg';
import { openBank } from '../bank/bank-schema.js';
import { startBenchDatabase } from '../postgres.js';
import { ContenderProcess } from '../process/contender-process.js';
import { shown } from '../report/series.js';
import { CountingProxy, type WireCounts } from '../wire/counting-proxy.js';
import type { Counters } from './counted-work.js';
import type { CounterMessage } from './counter-process.js';

/** Whether the library does as little as the repository says. Nothing in it is measured in time. */

const referenceFile = new URL('../../counters/reference.json', import.meta.url);
const patience = 120_000;
const major = process.versions.node.split('.')[0]!;

/** How much more is allowed; what is less is welcome, and to be written down. */
const tolerance: Readonly<Record<keyof Counters, number>> = {
  statements: 0,
  // Much that is sent in pieces may be answered in between, now and then.
  roundTrips: 0.25,
  bytesToServer: 0.02,
  bytesToClient: 0.02,
  allocated: 0.03,
  steps: 0.01,
};

const flags = [
  '--expose-gc',
  // What an optimizing compiler allocates depends on when it comes; an interpreter always does the same.
  '--no-opt',
  '--no-maglev',
  '--no-sparkplug',
  '--no-lazy-feedback-allocation',
  // Room for everything that is allocated between two collections.
  '--min-semi-space-size=512',
  '--max-semi-space-size=512',
];

interface Reference {
  /** The major version of Node.js, whose engine and libraries allocate in their own way. */
  readonly node: string;
  readonly counters: Readonly<Record<string, Counters>>;
}

const families = 200;

export async function counterMode({ update }: { readonly update: boolean }): Promise<void> {
  const counted = await count();
  if (update) {
    await writeFile(referenceFile, `${JSON.stringify(counted, null, 2)}\n`);
    console.log(table(counted, counted));
    return;
  }
  const reference = JSON.parse(await readFile(referenceFile, 'utf8')) as Reference;
  console.log(table(counted, reference));
  if (reference.node !== counted.node) {
    console.log(`\nWhat is allocated is not compared: the reference was made with Node.js ${reference.node}.`);
  }
  const excesses = excessesOf(counted, reference);
  if (excesses.length === 0) return;
  console.error(`\nMore than the reference allows:\n${excesses.join('\n')}`);
  console.error('Where it has to be so: npm run bench -- counters --update, and say why in the commit.');
  process.exitCode = 1;
}

async function count(): Promise<Reference> {
  await using database = await startBenchDatabase();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  await using _ = { [Symbol.asyncDispose]: () => client.end() };
  await openBank(client);
  await client.query("INSERT INTO parent (name) SELECT 'parent ' || n FROM generate_series(1, $1) AS n", [families]);
  await client.query(
    `INSERT INTO child (parent_id, position, label)
     SELECT p, n, 'child ' || n FROM generate_series(1, $1) AS p, generate_series(1, 10) AS n`,
    [families],
  );
  await using proxy = await CountingProxy.start(database.url);
  const counting = new ContenderProcess<CounterMessage>(
    new URL('./counter-process.js', import.meta.url),
    [proxy.url],
    flags,
  );
  const counters: Record<string, Omit<Counters, 'steps'> & { steps?: number }> = {};
  try {
    for (;;) {
      const answer = await counting.next(patience);
      if (answer.kind !== 'message') throw new Error(`The counted process: ${answer.kind} ${counting.errors}`);
      const { message } = answer;
      const wire = proxy.takeCounts();
      if (message.kind === 'done') {
        return { node: major, counters: counters as Reference['counters'] };
      }
      if (message.kind === 'end') {
        const { operations, allocated } = message;
        counters[message.work] = { ...perOperation(wire, operations), allocated: rounded(allocated / operations) };
      } else if (message.kind === 'steps') {
        counters[message.work]!.steps = rounded(message.steps / message.operations);
      }
      // What was inserted must not be read by what comes next.
      await client.query('DELETE FROM child WHERE parent_id > $1', [families]);
      await client.query('DELETE FROM parent WHERE id > $1', [families]);
      counting.send('go on');
    }
  } finally {
    await counting.end();
  }
}

function perOperation(wire: WireCounts, operations: number): WireCounts {
  return {
    statements: rounded(wire.statements / operations),
    roundTrips: rounded(wire.roundTrips / operations),
    bytesToServer: rounded(wire.bytesToServer / operations),
    bytesToClient: rounded(wire.bytesToClient / operations),
  };
}

function rounded(value: number): number {
  return Number(value.toPrecision(4));
}

const columns = Object.keys(tolerance) as (keyof Counters)[];

function excessesOf(counted: Reference, reference: Reference): string[] {
  const compared = columns.filter((column) => column !== 'allocated' || reference.node === counted.node);
  return Object.entries(counted.counters).flatMap(([work, its]) => {
    const known = reference.counters[work];
    if (known === undefined) return [`${work}: not in the reference`];
    return compared
      .filter((column) => its[column] > known[column] * (1 + tolerance[column]))
      .map((column) => `${work}: ${column} ${shown(its[column])}, the reference has ${shown(known[column])}`);
  });
}

function table(counted: Reference, reference: Reference): string {
  const rows = Object.entries(counted.counters).map(([work, its]) => [
    work,
    ...columns.map((column) => {
      const known = reference.counters[work]?.[column];
      const drift = known === undefined || known === 0 ? 0 : its[column] / known - 1;
      return (
        shown(its[column]) + (Math.abs(drift) < 0.005 ? '' : ` (${drift > 0 ? '+' : ''}${Math.round(drift * 100)} %)`)
      );
    }),
  ]);
  return [['', ...columns], ['---', ...columns.map(() => '---:')], ...rows]
    .map((cells) => `| ${cells.join(' | ')} |`)
    .join('\n');
}
