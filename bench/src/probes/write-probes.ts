import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Contender } from '../contenders/contenders.js';
import { resultsDirectory } from '../report/surroundings.js';
import { probeTable } from './probe-table.js';
import type { Probe } from './probe.js';
import type { Finding } from './run-probes.js';

/** What a run of the probes found. */
export interface ProbeResults {
  readonly node: string;
  readonly server: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly findings: readonly Finding[];
}

/** Writes the findings as JSON and Markdown, and says them. */
export async function writeProbes(
  results: ProbeResults,
  probes: readonly Probe[],
  asked: readonly Contender[],
): Promise<void> {
  const versions = Object.entries(results.versions).map(([name, version]) => `${name} ${version}`);
  const table = probeTable(probes, asked, results.findings);
  const text = `Node.js ${results.node}. ${results.server}.\n\n${versions.join(', ')}.\n\n${table}\n`;
  await mkdir(resultsDirectory, { recursive: true });
  await writeFile(path.join(resultsDirectory, 'probes.json'), `${JSON.stringify(results, null, 2)}\n`);
  await writeFile(path.join(resultsDirectory, 'probes.md'), text);
  console.log(`\n${text}`);
}
