import { readFile, writeFile } from 'node:fs/promises';
import { growthMarkdown, type GrowthResults } from './growth-report.js';
import { markdown } from './markdown.js';
import type { Results } from './results.js';
import { fileNameOf } from './write-report.js';

/** The page of the documentation that shows the reference, and keeps its own words around it. */
export const performancePage = new URL('../../docs/reference/performance.md', import.meta.url);

const reference = new URL('../results/reference/', import.meta.url);
const pictures = '../../bench/results/reference/';

/** The page with the tables and plots of the reference in their places, between `<!-- x -->` and `<!-- end of x -->`. */
export async function pageWithReference(page: string): Promise<string> {
  const results = JSON.parse(await readFile(new URL('results.json', reference), 'utf8')) as Results;
  const growth = JSON.parse(await readFile(new URL('growth.json', reference), 'utf8')) as GrowthResults;
  const ids = [...new Set(results.measured.map(({ workload }) => workload))];
  const bars = ids.map((id) => picture(id, fileNameOf(id)));
  const lines = growth.curves.flatMap(({ name, title, showsMemory }) => {
    const file = `growth-${name.replaceAll(' ', '-')}`;
    return [picture(title, `${file}.svg`), ...(showsMemory ? [picture(`${title}: memory`, `${file}-memory.svg`)] : [])];
  });
  const parts = {
    workloads: [markdown(results).trim(), ...bars].join('\n\n'),
    growth: [growthMarkdown(growth).trim(), ...lines].join('\n\n'),
  };
  let filled = page;
  for (const [name, text] of Object.entries(parts)) filled = between(filled, name, text);
  return filled;
}

export async function writePerformancePage(): Promise<void> {
  const page = await readFile(performancePage, 'utf8');
  await writeFile(performancePage, await pageWithReference(page));
}

function picture(title: string, file: string): string {
  return `![${title}](${pictures}${file})`;
}

function between(page: string, name: string, text: string): string {
  const [start, end] = [`<!-- ${name} -->`, `<!-- end of ${name} -->`];
  const [from, to] = [page.indexOf(start), page.indexOf(end)];
  if (from === -1 || to < from) throw new Error(`The page has no place for ${name}: ${start} … ${end}`);
  return `${page.slice(0, from + start.length)}\n\n${text}\n\n${page.slice(to)}`;
}
