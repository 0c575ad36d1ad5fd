import { anchorOf } from '../contenders/anchor.js';
import { contenderNames, contenders } from '../contenders/contenders.js';
import type { Measured, Results } from './results.js';
import { ratioOf, shown } from './series.js';

/** The results as tables: one for each workload, a row for each contender. */
export function markdown(results: Results): string {
  const ids = [...new Set(results.measured.map(({ workload }) => workload))];
  return [
    `Machine: ${results.machine}. Node.js ${results.node}. ${results.server}.`,
    Object.entries(results.versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(', ') + '.',
    `Medians of ${roundsOf(results)} interleaved rounds, least and most in brackets (more for those that keep up with what they are compared with); a ratio is the median of those of the rounds in which both took part.`,
    ...ids.map((id) => table(results.measured.filter(({ workload }) => workload === id))),
    '',
  ].join('\n\n');
}

/** Long ones may be fewer. */
function roundsOf({ measured }: Results): string {
  return [...new Set(measured.map(({ figure }) => figure.rounds.length))].join(' or ');
}

function table(measured: readonly Measured[]): string {
  const { title, unit, workload } = measured[0]!;
  const anchor = anchorOf(measured);
  const header = [
    '',
    unit,
    anchor === undefined ? '' : `× ${nameOf(anchor)}`,
    'client CPU, ms each',
    'statements',
    'round trips',
    'peak memory, MiB',
  ];
  const rows = [...measured]
    .sort((a, b) => place(a) - place(b))
    .map(({ contender, figure, cpuMs, wire, peakMiB }) => [
      nameOf({ contender }),
      `${shown(figure.median)} (${shown(figure.least)} to ${shown(figure.most)})`,
      anchor === undefined ? '' : shown(ratioOf(figure, anchor.figure)),
      cpuMs === undefined ? '' : shown(cpuMs),
      wire === undefined ? '' : shown(wire.statements),
      wire === undefined ? '' : shown(wire.roundTrips),
      peakMiB === undefined || unit !== 'ms' ? '' : shown(peakMiB),
    ]);
  const lines = [header, header.map((_, i) => (i === 0 ? '---' : '---:')), ...rows];
  return [`### ${workload}: ${title}`, lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')].join('\n\n');
}

export function nameOf({ contender }: Pick<Measured, 'contender'>): string {
  return contender in contenders ? contenders[contender as keyof typeof contenders] : contender;
}

function place({ contender }: Measured): number {
  return contenderNames.indexOf(contender as keyof typeof contenders);
}
