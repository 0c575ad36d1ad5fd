import { escapeXml, font, others, ours } from './svg.js';
import { shown } from './series.js';

export interface Point {
  readonly x: number;
  readonly y: number;
}

const width = 560;
const height = 340;
const margin = { left: 84, right: 24, top: 40, bottom: 50 };

export interface Line {
  readonly label: string;
  readonly points: readonly Point[];
}

/**
 * Lines over two logarithmic scales, the first of them ours: growth that keeps pace with its cause has the slope of
 * the dashed line.
 */
export function lineChart(title: string, xTitle: string, yTitle: string, lines: readonly Line[]): string {
  const shownLines = lines.map(({ label, points }) => ({ label, points: points.filter(({ y }) => y > 0) }));
  const used = shownLines.flatMap(({ points }) => points);
  const xs = scale(
    used.map(({ x }) => x),
    margin.left,
    width - margin.right,
  );
  const ys = scale(
    used.map(({ y }) => y),
    height - margin.bottom,
    margin.top,
  );
  const drawn = shownLines.map(({ label, points }, line) => {
    const colour = line === 0 ? ours : others;
    const path = points.map(({ x, y }, i) => `${i === 0 ? 'M' : 'L'}${xs.at(x)} ${ys.at(y)}`).join('');
    const name =
      lines.length === 1
        ? ''
        : `<text x="${margin.left + 8}" y="${margin.top + 16 + line * 16}" fill="${colour}">${escapeXml(label)}</text>`;
    return (
      `<path d="${path}" stroke="${colour}" stroke-width="2" fill="none"/>` +
      points.map(({ x, y }) => `<circle cx="${xs.at(x)}" cy="${ys.at(y)}" r="3" fill="${colour}"/>`).join('') +
      name
    );
  });
  const own = shownLines[0]!.points.length > 0 ? shownLines[0]!.points : used;
  const last = own.at(-1)!;
  const first = own[0]!;
  const straight = `M${xs.at(first.x)} ${ys.at((last.y * first.x) / last.x)}L${xs.at(last.x)} ${ys.at(last.y)}`;
  const ticks = [
    ...xs.ticks.map(
      (value) =>
        `<path d="M${xs.at(value)} ${margin.top}V${height - margin.bottom}" stroke="#e5e7eb"/>` +
        `<text x="${xs.at(value)}" y="${height - margin.bottom + 18}" text-anchor="middle">${shown(value)}</text>`,
    ),
    ...ys.ticks.map(
      (value) =>
        `<path d="M${margin.left} ${ys.at(value)}H${width - margin.right}" stroke="#e5e7eb"/>` +
        `<text x="${margin.left - 8}" y="${ys.at(value) + 4}" text-anchor="end">${shown(value)}</text>`,
    ),
  ];
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" ${font}>` +
    `<rect width="100%" height="100%" fill="#fff"/><text x="12" y="22" font-weight="bold">${escapeXml(title)}</text>` +
    ticks.join('') +
    `<clipPath id="plot"><rect x="${margin.left}" y="${margin.top}" width="${width - margin.left - margin.right}" height="${height - margin.top - margin.bottom}"/></clipPath>` +
    `<path d="${straight}" clip-path="url(#plot)" stroke="#94a3b8" stroke-dasharray="4 4" fill="none"/>` +
    drawn.join('') +
    `<text x="${(margin.left + width - margin.right) / 2}" y="${height - 10}" text-anchor="middle">${escapeXml(xTitle)}</text>` +
    `<text transform="translate(16 ${(margin.top + height - margin.bottom) / 2}) rotate(-90)" text-anchor="middle">${escapeXml(yTitle)}</text></svg>\n`
  );
}

interface Scale {
  readonly ticks: readonly number[];
  at(value: number): number;
}

/** Logarithmic, from the power of ten below the least to the one above the most. */
function scale(values: readonly number[], from: number, to: number): Scale {
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values)) - 1e-9));
  return {
    ticks: Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i)),
    at: (value) => Math.round((from + ((Math.log10(value) - low) / (high - low)) * (to - from)) * 10) / 10,
  };
}
