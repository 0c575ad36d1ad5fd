import pg from 'pg';
import { contenderNames } from '../contenders/contenders.js';
import { startBenchDatabase } from '../postgres.js';
import { probes } from './probes.js';
import { runProbe, type Finding } from './run-probes.js';
import { versions } from '../report/surroundings.js';
import { writeProbes } from './write-probes.js';

export async function probeMode({
  only,
  names,
}: {
  readonly only: readonly string[] | undefined;
  readonly names: readonly string[];
}): Promise<void> {
  // The pipeline changes how pg sends, not what a transaction is.
  const asked = contenderNames.filter((name) => name !== 'pg-pipeline' && (only?.includes(name) ?? true));
  const chosen = probes.filter(({ name }) => names.length === 0 || names.includes(name));
  await using database = await startBenchDatabase();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  await client.query('CREATE TABLE note (value text PRIMARY KEY)');
  await client.end();
  const findings: Finding[] = [];
  for (const probe of chosen) {
    for (const contender of asked) {
      const finding = await runProbe(probe, contender, database.url);
      findings.push(finding);
      const seen = finding.sightings.map(
        ({ kept, seen: text, times }) => `${kept === 'promise' ? '✓' : '✗'} ${times}× ${text}`,
      );
      console.log(`${probe.name} · ${contender}: ${seen.join('; ') || 'not offered'}`);
    }
  }
  const { server } = database;
  await writeProbes({ node: process.version, server, versions: versions(), findings }, chosen, asked);
}
