import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { barChart } from './bar-chart.js';
import { markdown, nameOf } from './markdown.js';
import type { Results } from './results.js';
import { referenceDirectory, resultsDirectory } from './surroundings.js';

/**
 * Writes what was found as JSON, Markdown and charts.
 *
 * @param reference true where these are the results that the documentation shows
 * @returns the Markdown
 */
export async function writeReport(results: Results, reference: boolean): Promise<string> {
  const text = markdown(results);
  const files = new Map([
    ['results.json', `${JSON.stringify(results, null, 2)}\n`],
    ['results.md', text],
    ...charts(results),
  ]);
  await writeResults(files, reference);
  return text;
}

/** Writes files by their names to where results go, and to the reference, too. */
export async function writeResults(files: ReadonlyMap<string, string>, reference: boolean): Promise<void> {
  for (const directory of reference ? [resultsDirectory, referenceDirectory] : [resultsDirectory]) {
    await mkdir(directory, { recursive: true });
    for (const [name, text] of files) await writeFile(path.join(directory, name), text);
  }
}

/** Of a workload's chart. */
export function fileNameOf(workload: string): string {
  return `${workload.toLowerCase().replace(/[^a-z0-9]+/g, '-')}.svg`;
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
      return [fileNameOf(id), barChart(`${id}: ${its[0]!.title}`, its[0]!.unit, bars)];
    }),
  );
}
