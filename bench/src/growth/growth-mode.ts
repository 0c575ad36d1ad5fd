import pg from 'pg';
import { openBank } from '../bank/bank-schema.js';
import { startBenchDatabase } from '../postgres.js';
import { ContenderProcess } from '../process/contender-process.js';
import type { GrowthCurve, GrowthLine, GrowthPoint } from '../report/growth-report.js';
import { writeGrowth } from '../report/growth-report.js';
import { shown } from '../report/series.js';
import { machine } from '../report/surroundings.js';
import { curves, type Curve, type Measure } from './curves.js';
import type { PointResult } from './growth-process.js';

/** Ten million rows take their time. */
const patience = 600_000;

export interface GrowthChoice {
  readonly quick: boolean;
  /** Results become those that the documentation shows. */
  readonly reference: boolean;
}

/** How time and memory of this library grow with the work: curves, not contenders. */
export async function growthMode({ quick, reference }: GrowthChoice): Promise<void> {
  await using database = await startBenchDatabase();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  await using _ = { [Symbol.asyncDispose]: () => client.end() };
  await openBank(client);
  const measured: GrowthCurve[] = [];
  for (const curve of curves) {
    const lines: GrowthLine[] = [];
    for (const { measure, label } of measuresOf(curve)) {
      const points: GrowthPoint[] = [];
      for (const size of [...curve.sizes, ...(quick ? [] : (curve.longSizes ?? []))]) {
        await fill(client, measure, size);
        const { ms, peakMiB } = await pointOf(measure, size, database.url);
        console.log(`${curve.title}, ${label}: ${size} ${curve.xTitle}, ${shown(ms)} ms, ${shown(peakMiB)} MiB`);
        points.push({ x: size, ms, peakMiB });
      }
      lines.push({ label, points });
    }
    const { name, title, xTitle, showsMemory = false } = curve;
    measured.push({ name, title, xTitle, showsMemory, lines });
  }
  await writeGrowth(
    { machine: machine(), node: process.version, server: database.server, curves: measured },
    reference,
  );
}

function measuresOf({ name, beside }: Curve): { readonly measure: Measure; readonly label: string }[] {
  const ours = { measure: name, label: 'nestjs-uow' };
  return beside === undefined ? [ours] : [ours, { measure: beside.name, label: beside.label }];
}

/** Empties what is written, and makes rows for what reads some. */
async function fill(client: pg.Client, measure: Measure, size: number): Promise<void> {
  await client.query('TRUNCATE parent, child RESTART IDENTITY');
  if (measure === 'bulk' || measure === 'copy') await client.query('TRUNCATE measurement');
  if (measure !== 'identity map' && measure !== 'stream') return;
  await client.query("INSERT INTO parent (name) SELECT 'parent ' || n FROM generate_series(1, $1) AS n", [size]);
  await client.query('VACUUM ANALYZE parent');
}

async function pointOf(measure: Measure, size: number, url: string): Promise<PointResult> {
  const process = new ContenderProcess<PointResult>(
    new URL('./growth-process.js', import.meta.url),
    [url, measure, String(size)],
    ['--expose-gc', '--max-old-space-size=8192'],
  );
  try {
    const answer = await process.next(patience);
    if (answer.kind === 'message') return answer.message;
    throw new Error(`${measure} ${size}: ${answer.kind} ${process.errors}`);
  } finally {
    await process.end();
  }
}
