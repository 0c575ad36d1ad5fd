import fc from 'fast-check';
import type { SessionUnderTest } from '../session-under-test.js';
import { PRELUDE, PRELUDE_OF_READS, SessionModel } from './session-model.js';
import type { Operation, Step } from './session-model.js';

/** How often each operation comes, beside the others; 0 for never. */
export type Weights = Readonly<Record<Operation, number>>;

/** How many sequences are tried, from which seed, and for how long at most. */
export interface Effort {
  readonly runs: number;
  readonly seed: number;
  readonly seconds: number;
}

/**
 * What `<NAME>_RUNS`, `<NAME>_SEED` and `<NAME>_SECONDS` say; else one seed, so that each run of the suite tries the
 * same. With `MODEL_REPORT` set, how many sequences there were is printed.
 */
export function effortOf(name: string, usual: { readonly runs: number }): Effort {
  const given = (what: string, otherwise: number): number => Number(process.env[`${name}_${what}`] ?? otherwise);
  return { runs: given('RUNS', usual.runs), seed: given('SEED', 7), seconds: given('SECONDS', 60) };
}

const BEGINNINGS = { empty: [], 'with rows': PRELUDE, 'with rows that were read': PRELUDE_OF_READS } as const;
type Beginning = keyof typeof BEGINNINGS;

/** Rare operations may need further rounds until each has taken place, however little time there was. */
const MOST_ROUNDS = 20;
const FURTHER_RUNS = 10;

/** The longest that `follow` may take, for the test around it. */
export function patienceWith({ seconds }: Effort): number {
  return (2 * seconds + 60) * 1_000;
}

/**
 * Runs random sequences against sessions and their model, until there were enough and each operation that has a weight
 * really took place, so that none is proven by never happening.
 * @param beginnings how a sequence may begin: with tables that have rows already, or without any
 * @param besides what the model notes beside its operations, and has to have happened, too
 */
export async function follow(
  env: SessionUnderTest,
  weights: Weights,
  effort: Effort,
  beginnings: readonly Beginning[],
  besides: readonly string[] = [],
): Promise<void> {
  const done = new Set<string>();
  const operations = (Object.keys(weights) as Operation[]).filter((operation) => weights[operation] > 0);
  const missing = (): string[] => [...operations, ...besides].filter((what) => !done.has(what));
  const until = Date.now() + effort.seconds * 1_000;
  let sequences = 0;
  for (let round = 0; round === 0 || (round < MOST_ROUNDS && missing().length > 0); round += 1) {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...beginnings), sequencesOf(weights), async (beginning, steps) => {
        // Not fast-check's own limit, which leaves the running sequence to itself.
        if (round === 0 && Date.now() > until) return;
        await SessionModel.empty(env);
        const model = new SessionModel(env);
        await model.run([...BEGINNINGS[beginning], ...steps]);
        sequences += 1;
        for (const what of model.done.keys()) done.add(what);
      }),
      {
        numRuns: round === 0 ? effort.runs : FURTHER_RUNS,
        seed: effort.seed + round,
      },
    );
  }
  if (process.env['MODEL_REPORT'] !== undefined) report(`${sequences} sequences from seed ${effort.seed}`);
  expect(missing()).toEqual([]);
}

function sequencesOf(weights: Weights): fc.Arbitrary<Step[]> {
  const operations = (Object.entries(weights) as [Operation, number][])
    .filter(([, weight]) => weight > 0)
    .map(([operation, weight]) => ({ weight, arbitrary: fc.constant(operation) }));
  const choice = fc.nat(997);
  return fc.array(fc.tuple(fc.oneof(...operations), choice, choice, choice), {
    minLength: 1,
    maxLength: 40,
    size: 'max',
  });
}

function report(line: string): void {
  process.stderr.write(`${line}\n`);
}
