import { contenders, type Contender } from '../contenders/contenders.js';
import type { Probe } from './probe.js';
import type { Finding } from './run-probes.js';

/** The findings as a Markdown table: a row for each probe, a column for each contender. */
export function probeTable(
  probes: readonly Probe[],
  asked: readonly Contender[],
  findings: readonly Finding[],
): string {
  const header = ['Situation', ...asked.map((contender) => contenders[contender])];
  const rows = probes.map((probe) => [
    probe.title,
    ...asked.map((contender) =>
      cell(findings.find((finding) => finding.probe === probe.name && finding.contender === contender)),
    ),
  ]);
  return [header, header.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function cell(finding: Finding | undefined): string {
  if (finding === undefined || finding.sightings.length === 0) return '–';
  const always = finding.sightings.length === 1;
  const total = finding.sightings.reduce((sum, { times }) => sum + times, 0);
  return finding.sightings
    .map(
      ({ kept, seen, times }) => `${kept === 'promise' ? '✓' : '✗'} ${seen}${always ? '' : ` (${times} of ${total})`}`,
    )
    .join('; ');
}
