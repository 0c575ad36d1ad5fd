import { lineChart } from './line-chart.js';
import { shown } from './series.js';
import { writeResults } from './write-report.js';

/** What a run of the growth curves found. */
export interface GrowthResults {
  readonly machine: string;
  readonly node: string;
  readonly server: string;
  readonly curves: readonly GrowthCurve[];
}

export interface GrowthCurve {
  readonly name: string;
  readonly title: string;
  readonly xTitle: string;
  readonly showsMemory: boolean;
  /** This library first. */
  readonly lines: readonly GrowthLine[];
}

export interface GrowthLine {
  readonly label: string;
  readonly points: readonly GrowthPoint[];
}

export interface GrowthPoint {
  readonly x: number;
  readonly ms: number;
  readonly peakMiB: number;
}

export async function writeGrowth(results: GrowthResults, reference: boolean): Promise<void> {
  const text = growthMarkdown(results);
  const files = new Map([
    ['growth.json', `${JSON.stringify(results, null, 2)}\n`],
    ['growth.md', text],
    ...results.curves.flatMap(chartsOf),
  ]);
  await writeResults(files, reference);
  console.log(`\n${text}`);
}

function chartsOf({ name, title, xTitle, showsMemory, lines }: GrowthCurve): [string, string][] {
  const file = `growth-${name.replaceAll(' ', '-')}`;
  const line = (y: 'ms' | 'peakMiB'): Parameters<typeof lineChart>[3] =>
    lines.map(({ label, points }) => ({ label, points: points.map((point) => ({ x: point.x, y: point[y] })) }));
  const time: [string, string] = [`${file}.svg`, lineChart(title, xTitle, 'milliseconds', line('ms'))];
  if (!showsMemory) return [time];
  return [time, [`${file}-memory.svg`, lineChart(title, xTitle, 'peak memory above start, MiB', line('peakMiB'))]];
}

/** A table for each curve. */
export function growthMarkdown({ machine, node, server, curves }: GrowthResults): string {
  return [`Machine: ${machine}. Node.js ${node}. ${server}.`, ...curves.map(table), ''].join('\n\n');
}

function table({ title, xTitle, lines }: GrowthCurve): string {
  const alone = lines.length === 1;
  const header = [
    xTitle,
    ...lines.flatMap(({ label }) => (alone ? ['ms', 'peak memory, MiB'] : [`${label}, ms`, 'MiB'])),
  ];
  const rows = lines[0]!.points.map(({ x }, at) => [
    x.toLocaleString('en-US'),
    ...lines.flatMap(({ points }) => [shown(points[at]!.ms), shown(points[at]!.peakMiB)]),
  ]);
  const text = [header, header.map(() => '---:'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
  return `### ${title}\n\n${text}`;
}
