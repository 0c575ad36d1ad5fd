import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import pg from 'pg';
import { openBank } from '../bank/bank-schema.js';
import { startBenchDatabase } from '../postgres.js';
import { ContenderProcess } from '../process/contender-process.js';
import { lineChart } from '../report/line-chart.js';
import { shown } from '../report/series.js';
import { machine, resultsDirectory } from '../report/surroundings.js';
import { curves, type Curve } from './curves.js';
import type { PointResult } from './growth-process.js';

const patience = 120_000;

/** How time and memory of this library grow with the work: curves, not contenders. */
export async function growthMode({ quick }: { readonly quick: boolean }): Promise<void> {
  await using database = await startBenchDatabase();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  await using _ = { [Symbol.asyncDispose]: () => client.end() };
  await openBank(client);
  await mkdir(resultsDirectory, { recursive: true });
  const tables: string[] = [];
  for (const curve of curves) {
    const points = [];
    for (const size of [...curve.sizes, ...(quick ? [] : (curve.longSizes ?? []))]) {
      await fill(client, curve, size);
      const { ms, peakMiB } = await pointOf(curve, size, database.url);
      console.log(`${curve.title}: ${size} ${curve.xTitle}, ${shown(ms)} ms, ${shown(peakMiB)} MiB`);
      points.push({ x: size, ms, peakMiB });
    }
    const times = points.map(({ x, ms }) => ({ x, y: ms }));
    const file = `growth-${curve.name.replace(' ', '-')}`;
    await writeFile(
      path.join(resultsDirectory, `${file}.svg`),
      lineChart(curve.title, curve.xTitle, 'milliseconds', times),
    );
    if (curve.name === 'rows') {
      const memory = points.map(({ x, peakMiB }) => ({ x, y: peakMiB }));
      const chart = lineChart(curve.title, curve.xTitle, 'peak memory above start, MiB', memory);
      await writeFile(path.join(resultsDirectory, `${file}-memory.svg`), chart);
    }
    const rows = points.map(({ x, ms, peakMiB }) => `| ${shown(x)} | ${shown(ms)} | ${shown(peakMiB)} |`);
    tables.push(
      [`### ${curve.title}\n`, `| ${curve.xTitle} | ms | peak memory, MiB |`, '| ---: | ---: | ---: |', ...rows].join(
        '\n',
      ),
    );
  }
  const text = `Machine: ${machine()}. Node.js ${process.version}. ${database.server}.\n\n${tables.join('\n\n')}\n`;
  await writeFile(path.join(resultsDirectory, 'growth.md'), text);
  console.log(`\n${text}`);
}

/** Rows for the curve that reads some. */
async function fill(client: pg.Client, curve: Curve, size: number): Promise<void> {
  await client.query('TRUNCATE parent, child RESTART IDENTITY');
  if (curve.name !== 'identity map') return;
  await client.query("INSERT INTO parent (name) SELECT 'parent ' || n FROM generate_series(1, $1) AS n", [size]);
  await client.query('ANALYZE parent');
}

async function pointOf({ name }: Curve, size: number, url: string): Promise<PointResult> {
  const process = new ContenderProcess<PointResult>(
    new URL('./growth-process.ts', import.meta.url),
    [url, name, String(size)],
    ['--expose-gc', '--max-old-space-size=8192'],
  );
  try {
    const answer = await process.next(patience);
    if (answer.kind === 'message') return answer.message;
    throw new Error(`${name} ${size}: ${answer.kind} ${process.errors}`);
  } finally {
    await process.end();
  }
}
