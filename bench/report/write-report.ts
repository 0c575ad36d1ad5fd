import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { markdown } from './markdown.js';
import type { Results } from './results.js';
import { resultsDirectory } from './surroundings.js';

/** Writes what was found as JSON and Markdown, and says it. */
export async function writeReport(results: Results): Promise<void> {
  await mkdir(resultsDirectory, { recursive: true });
  const text = markdown(results);
  await writeFile(path.join(resultsDirectory, 'results.json'), `${JSON.stringify(results, null, 2)}\n`);
  await writeFile(path.join(resultsDirectory, 'results.md'), text);
  console.log(`\n${text}`);
}
