import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import type { Measurement } from '../bank/bank.entities.js';

/** Rows of ten columns, as an application would have them in its hands. */
export function measurementRows(count: number): Measurement[] {
  return Array.from({ length: count }, (_, at) => {
    const id = at + 1;
    const takenAt = new Date(1_767_225_600_000 + id * 60_000);
    return {
      id,
      station: `station ${id % 50}`,
      kind: ['rain', 'wind', 'sun'][id % 3]!,
      quantity: id % 1_000,
      value: id / 7,
      valid: id % 5 !== 0,
      takenAt,
      receivedAt: takenAt,
      note: id % 4 === 0 ? `note ${id}` : null,
      code: `code-${id}`,
    };
  });
}

/** The same rows by COPY: what a bulk insert by hand would be. */
export async function copyRows(url: string, rows: readonly Measurement[]): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await pipeline(Readable.from(linesOf(rows)), client.query(copyFrom('COPY measurement FROM STDIN')));
  } finally {
    await client.end();
  }
}

const chunkSize = 65_536;

function* linesOf(rows: readonly Measurement[]): Generator<string> {
  let chunk = '';
  for (const { id, station, kind, quantity, value, valid, takenAt, receivedAt, note, code } of rows) {
    chunk +=
      `${id}\t${field(station)}\t${field(kind)}\t${quantity}\t${value}\t${valid}\t` +
      `${takenAt.toISOString()}\t${receivedAt.toISOString()}\t${field(note)}\t${field(code)}\n`;
    if (chunk.length < chunkSize) continue;
    yield chunk;
    chunk = '';
  }
  if (chunk !== '') yield chunk;
}

const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' };

function field(text: string | null): string {
  return text === null ? '\\N' : text.replace(/[\\\t\n\r]/g, (one) => escapes[one]!);
}
