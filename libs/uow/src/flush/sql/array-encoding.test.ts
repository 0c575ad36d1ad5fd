import pg from 'pg';
import type { ColumnMapping } from '../../database/entity-mapping.js';
import { createTestDatabase, type TestDatabase } from '../../../../../test/support/test-database.js';
import { binaryArray } from './array-encoding.js';
import { arrayParameter } from './array-parameter.js';

let database: TestDatabase;
let client: pg.Client;
beforeAll(async () => {
  database = await createTestDatabase();
  client = new pg.Client(database.pg);
  await client.connect();
});
afterAll(async () => {
  await client.end();
  await database.drop();
});

const columnOf = (arrayType: string): ColumnMapping => ({ arrayType, castsElement: false }) as ColumnMapping;

const texts = ['', 'NULL', 'a"b', 'a\\b', '{}', ',', ' x ', 'a\nb', '\u0001', '\u2028', '\u007f'];
const long = 'x'.repeat(49);

test.each<[string, unknown[]]>([
  ['text', texts],
  ['text', [...texts, null, undefined, 'é€😀']],
  ['text', ['é', long]],
  ['text', [long, `${long}é`, null, 'é', 'x']],
  ['text', [`\ud800${long}`, '\udc00']],
  ['text', [null, null]],
  ['varchar', ['a', 'é', null]],
  ['bpchar', ['a ', null]],
  ['json', ['{"a":"b\\"c"}', '"é"', null]],
  ['jsonb', ['{"a":"b\\"c"}', `{"a":"${long}é"}`, '"é"', null, '1']],
  ['integer', [0, -0, 1, -1, 2147483647, -2147483648, null]],
  ['smallint', [0, -1, 32767, -32768, undefined]],
  ['bigint', [0, -1, 4294967296, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, null]],
  ['bigint', [9007199254740993n, -9223372036854775808n, 9223372036854775807n]],
  ['double precision', [0, -0, 0.1, 1 / 7, 1e21, -1e-7, 5e-324, Number.MAX_VALUE, null]],
  ['double precision', [NaN, Infinity, -Infinity]],
  ['boolean', [true, false, null]],
  ['boolean', [1, 0]],
  ['timestamptz', [new Date(0), new Date(-1), new Date(Date.UTC(2000, 0, 1)), new Date(), null]],
  ['timestamptz', ['1000-01-01T00:00:00Z', '1969-07-20T20:17:40.001Z', '9999-12-31'].map((text) => new Date(text))],
])('%s: the server reads %j as it reads the text', async (type, values) => {
  const binary = binaryArray(columnOf(type), values);
  const { rows } = await client.query<{ v: unknown; t: unknown }>(
    `SELECT b.v::text AS v, t.v::text AS t FROM unnest($1::${type}[], $2::${type}[]) AS u(b, t), LATERAL (VALUES (b)) AS b(v), LATERAL (VALUES (t)) AS t(v)`,
    [binary!.bytes, arrayParameter(columnOf(type), values)],
  );
  expect(rows).toHaveLength(values.length);
  expect(rows.map(({ v }) => v)).toEqual(rows.map(({ t }) => t));
});

test.each<[string, unknown]>([
  ['integer', 1.5],
  ['integer', 2147483648],
  ['integer', '1'],
  ['smallint', 32768],
  ['bigint', '9223372036854775807'],
  ['bigint', 2 ** 53],
  ['bigint', 9223372036854775808n],
  ['double precision', '1'],
  ['boolean', 'true'],
  ['boolean', 2],
  ['text', 1],
  ['jsonb', { a: 1 }],
  ['timestamptz', '2026-01-01'],
  ['timestamptz', new Date('0999-01-01T00:00:00Z')],
  ['timestamptz', new Date(NaN)],
  ['numeric', '1'],
])('%s: %p is left to the text form', (type, value) => {
  expect(binaryArray(columnOf(type), [null, value])).toBeNull();
});

test('a log shows what it is an array of', () => {
  expect(JSON.stringify([binaryArray(columnOf('integer'), [1, 2, 3])])).toBe('["integer[3]"]');
});
