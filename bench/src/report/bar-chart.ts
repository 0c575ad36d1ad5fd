import { escapeXml, font, ours, others } from './svg.js';
import { shown } from './series.js';

export interface Bar {
  readonly label: string;
  readonly value: number;
  /** Least and most. */
  readonly range: readonly [number, number];
  readonly isOurs: boolean;
}

const width = 760;
const left = 200;
const right = 110;
const row = 26;

/** Horizontal bars, the spread as a thin line over each. */
export function barChart(title: string, unit: string, bars: readonly Bar[]): string {
  const most = Math.max(...bars.map(({ range }) => range[1]));
  const x = (value: number): number => left + (value / most) * (width - left - right);
  const height = 44 + bars.length * row;
  const parts = bars.map(({ label, value, range, isOurs }, i) => {
    const y = 36 + i * row;
    const middle = y + row / 2 - 3;
    return [
      `<text x="${left - 8}" y="${middle + 4}" text-anchor="end">${escapeXml(label)}</text>`,
      `<rect x="${left}" y="${y}" width="${round(x(value) - left)}" height="${row - 6}" fill="${isOurs ? ours : others}"/>`,
      `<path d="M${round(x(range[0]))} ${middle}H${round(x(range[1]))}" stroke="#222" stroke-width="1"/>`,
      `<text x="${round(x(Math.max(value, range[1])) + 6)}" y="${middle + 4}">${shown(value)}</text>`,
    ].join('');
  });
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" ${font}>` +
    `<rect width="100%" height="100%" fill="#fff"/>` +
    `<text x="12" y="22" font-weight="bold">${escapeXml(`${title} (${unit})`)}</text>${parts.join('')}</svg>\n`
  );
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
