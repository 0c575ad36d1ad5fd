import pg from 'pg';
import type { ColumnMapping } from '../../database/entity-mapping.js';
import { createTestDatabase, type TestDatabase } from '../../../../../test/support/test-database.js';
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

const texts = ['', 'NULL', 'a"b', 'a\\b', '\\"', '{}', ',', ' x ', 'é€😀', '\u2028', '\u007f'];

test.each<[string, unknown[], unknown[]?]>([
  ['text', texts],
  ['text', [...texts, null]],
  ['text', ['a\nb', 'tab\t', '\u0001', '\\n', 'a\\"\nb']],
  ['integer', [1, -0, 2147483647, null], [1, 0, 2147483647, null]],
  ['double precision', [0.1, 1e21, -1e-7, 5e-324]],
  ['double precision', [NaN, Infinity, -Infinity, 1]],
  ['boolean', [true, false, null]],
  ['boolean', [true, undefined], [true, null]],
  ['bigint', [9007199254740993n, 1], ['9007199254740993', '1']],
  ['timestamptz', [new Date(0), new Date(-1), new Date('9999-12-31T23:59:59.999Z'), null]],
  ['timestamptz', [new Date('0999-01-01T00:00:00Z'), new Date('+010000-01-01T00:00:00Z')]],
  ['timestamp', [new Date(2026, 5, 1, 12, 30, 0, 5), null]],
])('%s: the server reads %j as they are', async (arrayType, values, expected = values) => {
  const column = { arrayType, castsElement: false } as ColumnMapping;
  const { rows } = await client.query<{ v: unknown }>(`SELECT v FROM unnest($1::${arrayType}[]) AS u(v)`, [
    arrayParameter(column, values),
  ]);
  expect(rows.map(({ v }) => v)).toEqual(expected);
});
