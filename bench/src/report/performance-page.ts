import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { growthMarkdown, type GrowthResults } from './growth-report.js';
import { markdown } from './markdown.js';
import type { Results } from './results.js';
import { fileNameOf } from './write-report.js';

/** The page of the documentation that shows the reference, and keeps its own words around it. */
export const performancePage = new URL('../../../docs/reference/performance.md', import.meta.url);

const reference = new URL('../../results/reference/', import.meta.url);
const directory = '../../bench/results/reference/';

/** The page with the tables and plots of the reference in their places, between `<!-- x -->` and `<!-- end of x -->`. */
export async function pageWithReference(page: string): Promise<string> {
  let filled = page;
  const results = await referenceOf<Results>('results.json');
  if (results !== null) filled = between(filled, 'workloads', workloadsOf(results));
  const growth = await referenceOf<GrowthResults>('growth.json');
  if (growth !== null) filled = between(filled, 'growth', growthOf(growth));
  return filled;
}

/** Null where there are no such results yet. */
async function referenceOf<T>(file: string): Promise<T | null> {
  const url = new URL(file, reference);
  return existsSync(url) ? (JSON.parse(await readFile(url, 'utf8')) as T) : null;
}

function workloadsOf(results: Results): string {
  const ids = [...new Set(results.measured.map(({ workload }) => workload))];
  return [markdown(results).trim(), ...ids.map((id) => picture(id, fileNameOf(id)))].join('\n\n');
}

function growthOf(growth: GrowthResults): string {
  const pictures = growth.curves.flatMap(({ name, title, showsMemory }) => {
    const file = `growth-${name.replaceAll(' ', '-')}`;
    return [picture(title, `${file}.svg`), ...(showsMemory ? [picture(`${title}: memory`, `${file}-memory.svg`)] : [])];
  });
  return [growthMarkdown(growth).trim(), ...pictures].join('\n\n');
}

export async function writePerformancePage(): Promise<void> {
  const page = await readFile(performancePage, 'utf8');
  await writeFile(performancePage, await pageWithReference(page));
}

function picture(title: string, file: string): string {
  return `![${title}](${directory}${file})`;
}

function between(page: string, name: string, text: string): string {
  const [start, end] = [`<!-- ${name} -->`, `<!-- end of ${name} -->`];
  const [from, to] = [page.indexOf(start), page.indexOf(end)];
  if (from === -1 || to < from) throw new Error(`The page has no place for ${name}: ${start} … ${end}`);
  return `${page.slice(0, from + start.length)}\n\n${text}\n\n${page.slice(to)}`;
}
