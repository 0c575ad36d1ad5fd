import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { barChart } from './bar-chart.js';
import { markdown, nameOf } from './markdown.js';
import type { Results } from './results.js';
import { resultsDirectory } from './surroundings.js';

/** Writes what was found as JSON and Markdown, and says it. */
export async function writeReport(results: Results): Promise<void> {
  await mkdir(resultsDirectory, { recursive: true });
  const text = markdown(results);
  await writeFile(path.join(resultsDirectory, 'results.json'), `${JSON.stringify(results, null, 2)}\n`);
  await writeFile(path.join(resultsDirectory, 'results.md'), text);
  for (const [name, chart] of charts(results)) await writeFile(path.join(resultsDirectory, name), chart);
  console.log(`\n${text}`);
}

/** A chart for each workload, by file name. */
function charts({ measured }: Results): Map<string, string> {
  const ids = [...new Set(measured.map(({ workload }) => workload))];
  return new Map(
    ids.map((id) => {
      const its = measured.filter(({ workload }) => workload === id);
      const bars = its.map((one) => ({
        label: nameOf(one),
        value: one.figure.median,
        range: [one.figure.least, one.figure.most] as const,
        isOurs: one.contender.startsWith('nestjs-uow'),
      }));
      const name = id.toLowerCase().replace(/[^a-z0-9]+/g, '-');
      return [`${name}.svg`, barChart(`${id}: ${its[0]!.title}`, its[0]!.unit, bars)];
    }),
  );
}
