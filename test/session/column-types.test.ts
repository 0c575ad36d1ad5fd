import { EntitySchema } from 'typeorm';
import type { EntitySchemaColumnOptions } from 'typeorm';
import { StaleDataError } from '../../libs/uow/src/errors/flush-errors.js';
import { SessionUnderTest } from './session-under-test.js';

/**
 * Every column type of PostgreSQL that TypeORM knows: a row is loaded, this column changed and flushed. The check on
 * old values must find the row as it was read, whatever the client cannot hold of it; and must miss a change of others.
 */

interface TypeCase {
  readonly name: string;
  readonly column: Partial<EntitySchemaColumnOptions> & { readonly type: EntitySchemaColumnOptions['type'] };
  /** What the row holds, as SQL. */
  readonly stored: string;
  /** What the application sets. */
  readonly value: unknown;
  /** What somebody else sets meanwhile, as SQL. */
  readonly rival: string;
}

function typed(
  name: string,
  column: TypeCase['column'] | (EntitySchemaColumnOptions['type'] & string),
  stored: string,
  value: unknown,
  rival: string,
): TypeCase {
  return { name, column: typeof column === 'string' ? { type: column } : column, stored, value, rival };
}

const CASES: readonly TypeCase[] = [
  typed('smallint', 'smallint', '32767', -5, '7'),
  typed('integer', 'integer', '2147483647', 5, '7'),
  typed('bigint beyond double precision', 'bigint', '9007199254740993', '9007199254740995', '9007199254740992'),
  typed('numeric of many digits', 'numeric', '0.12345678901234567890123', '1.50', '0.12345678901234567890124'),
  typed('numeric that is not a number', 'numeric', `'NaN'`, '1', '2'),
  typed('numeric with a scale', { type: 'numeric', precision: 12, scale: 2 }, '1.20', '3', '1.21'),
  typed('real', 'real', '0.1', 0.3, '0.2'),
  typed('real that a double cannot hold', 'real', '16777217.3', 1, '16777219'),
  typed('double precision', 'double precision', '0.1::float8 + 0.2::float8', 0.1, '0.3'),
  typed('double precision that is not a number', 'double precision', `'NaN'`, 1, `'Infinity'`),
  typed('money', 'money', '1234567.89', '5.00', '3.21'),
  typed('text', 'text', `'{"a", \\b}'`, 'other', `'rival'`),
  typed('varchar', { type: 'varchar', length: 8 }, `'  a  '`, 'b', `'c'`),
  typed('char, padded', { type: 'char', length: 6 }, `'ab'`, 'abc', `'b'`),
  typed('citext', 'citext', `'Bob'`, 'Ann', `'BOB'`),
  typed(
    'uuid',
    'uuid',
    `'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'`,
    'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12',
    'gen_random_uuid()',
  ),
  typed('boolean', 'boolean', 'true', false, 'NULL'),
  typed('bytea', 'bytea', `'\\x00ff10'`, Buffer.from('new'), `'\\x00ff11'`),
  typed('bit', { type: 'bit', length: 4 }, `B'0101'`, '1111', `B'0001'`),
  typed('varbit', 'varbit', `B'010101'`, '1', `B'0'`),
  typed('date', 'date', `'2024-02-29'`, '2024-03-01', `'2023-01-01'`),
  typed('date without an end', 'date', `'infinity'`, '2024-03-01', `'-infinity'`),
  typed('time', 'time', `'12:34:56.789012'`, '01:02:03', `'12:34:57'`),
  typed('timetz', 'timetz', `'12:34:56.789012+05:30'`, '01:02:03+00', `'12:34:56.789012+05'`),
  typed('timestamp', 'timestamp', `'2024-01-02 03:04:05.678901'`, new Date('2025-01-01T00:00:00Z'), 'now()'),
  typed('timestamptz', 'timestamptz', `'2024-01-02 03:04:05.678901+03'`, new Date('2025-01-01T00:00:00Z'), 'now()'),
  typed(
    'timestamptz to the second',
    { type: 'timestamptz', precision: 0 },
    `'2024-01-02 03:04:05+03'`,
    new Date('2025-01-01T00:00:00Z'),
    'now()',
  ),
  typed(
    'timestamptz before 1970',
    'timestamptz',
    `'1901-01-02 03:04:05.999999Z'`,
    new Date('2025-01-01T00:00:00Z'),
    'now()',
  ),
  typed('timestamptz without an end', 'timestamptz', `'infinity'`, new Date('2025-01-01T00:00:00Z'), `'-infinity'`),
  typed('interval', 'interval', `'1 year -2 mons 3 days 04:05:06.789012'`, '2 days', `'1 year'`),
  typed('interval, where a month equals thirty days', 'interval', `'1 mon'`, '2 days', `'30 days'`),
  typed('enum', { type: 'enum', enum: ['low', 'high "est"'] }, `'high "est"'`, 'low', 'NULL'),
  typed('point', 'point', `'(0.1,1e-20)'`, { x: 1, y: 2 }, `'(0.1,2e-20)'`),
  typed('line', 'line', `'{1,2,3}'`, '{1,2,4}', `'{1,2,5}'`),
  typed('lseg', 'lseg', `'[(1,2),(3,4)]'`, '[(1,2),(3,5)]', `'[(3,4),(1,2)]'`),
  typed('box of the same area', 'box', `'(1,1),(0,0)'`, '(3,3),(0,0)', `'(2,2),(1,1)'`),
  typed('path', 'path', `'((1,2),(3,4))'`, '((1,2),(3,5))', `'[(1,2),(3,4)]'`),
  typed('polygon', 'polygon', `'((1,2),(3,4),(5,7))'`, '((1,2),(3,4),(5,8))', `'((1,2),(3,4),(5,9))'`),
  typed('circle', 'circle', `'<(0.1,2),3>'`, { x: 1, y: 2, radius: 3 }, `'<(0.2,2),3>'`),
  typed('cidr', 'cidr', `'192.168.100.0/25'`, '10.0.0.0/8', `'192.168.100.128/25'`),
  typed('inet', 'inet', `'192.168.100.1/32'`, '10.0.0.1', `'192.168.100.1/25'`),
  typed('macaddr', 'macaddr', `'08-00-2B-01-02-03'`, '08:00:2b:01:02:04', `'08:00:2b:01:02:05'`),
  typed('macaddr8', 'macaddr8', `'08:00:2b:01:02:03:04:05'`, '08:00:2b:01:02:03:04:06', `'08:00:2b:01:02:03:04:07'`),
  typed(
    'tsvector',
    'tsvector',
    `to_tsvector('english', 'a fat cat sat')`,
    `'dog':1`,
    `to_tsvector('english', 'a cat')`,
  ),
  typed('tsquery', 'tsquery', `'fat & (rat | cat)'`, `'dog'`, `'fat'`),
  typed('xml', 'xml', `'<a b="1"> text </a>'`, '<c/>', `'<a b="2"> text </a>'`),
  typed('jsonpath', 'jsonpath', `'$.a[*] ? (@ > 2)'`, '$.b', `'$.c'`),
  typed('json, with spaces and a key twice', 'json', `'{ "b" : 1, "a": 2, "a": 3 }'`, { a: 1 }, `'{"b": 2}'`),
  typed(
    'json with numbers beyond double precision',
    'json',
    `'{"n": 12345678901234567890, "m": 0.1000000000000000055}'`,
    { n: 1 },
    `'{"n": 12345678901234567891, "m": 0.1000000000000000055}'`,
  ),
  typed('jsonb', 'jsonb', `'{"b": [1, {"c": null}], "a": "x"}'`, { a: 1 }, `'{"b": [1, {"c": 0}], "a": "x"}'`),
  typed(
    'jsonb with numbers beyond double precision',
    'jsonb',
    `'{"n": 12345678901234567890, "m": [0.1000000000000000055, 1e400]}'`,
    { n: 1 },
    `'{"n": 12345678901234567891, "m": [0.1000000000000000055, 1e400]}'`,
  ),
  typed(
    'jsonb that is one such number',
    'jsonb',
    '12345678901234567890::text::jsonb',
    5,
    '12345678901234567891::text::jsonb',
  ),
  typed('jsonb that is a string', 'jsonb', `'"12345678901234567890"'`, 'other', `'"rival"'`),
  typed('jsonb that is null', 'jsonb', `'null'`, { a: 1 }, 'NULL'),
  typed('hstore', 'hstore', `'"a b"=>"1", c=>NULL, "q\\"t"=>"\\\\"'`, { a: '2' }, `'a=>3'`),
  typed('hstore as text', { type: 'hstore', hstoreType: 'string' }, `'b=>2, a=>1'`, '"a"=>"2"', `'a=>3'`),
  typed('ltree', 'ltree', `'Top.Science'`, 'Top.Hobbies', `'Top'`),
  typed('cube', 'cube', `'(0.1, 2, 3)'`, [1, 2], `'(0.1, 2, 4)'`),
  typed('cube of two corners', 'cube', `'(0, 0),(1, 2)'`, [1, 2], `'(0, 0, 1, 2)'`),
  typed('int4range', 'int4range', `'(1,5]'`, '[3,4)', `'[1,5]'`),
  typed('int8range', 'int8range', `'[1,)'`, '[3,4)', `'[2,)'`),
  typed('numrange', 'numrange', `'(1.10,2.123456789012345678]'`, '[3,4)', `'(1.10,2.123456789012345679]'`),
  typed(
    'tsrange',
    'tsrange',
    `'["2024-01-01 00:00:00.123456",infinity]'`,
    '[2024-01-01,2024-01-02)',
    `'["2024-01-01 00:00:00.123457",infinity]'`,
  ),
  typed(
    'tstzrange',
    'tstzrange',
    `'["2024-01-01 00:00:00.123456+02",)'`,
    '[2024-01-01,2024-01-02)',
    `'["2024-01-01 00:00:00.123457+02",)'`,
  ),
  typed('daterange', 'daterange', `'empty'`, '[2024-01-01,2024-01-02)', `'[2024-01-01,2024-01-03)'`),
  typed('int4multirange', 'int4multirange', `'{[1,3),[5,7)}'`, '{[1,2)}', `'{[1,3)}'`),
  typed('int8multirange', 'int8multirange', `'{[1,3),[5,7)}'`, '{[1,2)}', `'{[1,3)}'`),
  typed('nummultirange', 'nummultirange', `'{[1.10,3),[5,7)}'`, '{[1,2)}', `'{[1,3)}'`),
  typed(
    'tsmultirange',
    'tsmultirange',
    `'{[2024-01-01,2024-01-02 00:00:00.000001)}'`,
    '{}',
    `'{[2024-01-01,2024-01-02)}'`,
  ),
  typed(
    'tstzmultirange',
    'tstzmultirange',
    `'{[2024-01-01,2024-01-02 00:00:00.000001)}'`,
    '{}',
    `'{[2024-01-01,2024-01-02)}'`,
  ),
  typed('datemultirange', 'datemultirange', `'{[2024-01-01,2024-01-02)}'`, '{}', `'{[2024-01-01,2024-01-03)}'`),
  typed('simple-array', 'simple-array', `'a, b,,c'`, ['x', 'y'], `'a'`),
  typed(
    'simple-json, written by somebody else',
    'simple-json',
    `'{ "a" : 12345678901234567890 }'`,
    { a: 2 },
    `'{"a": 3}'`,
  ),
  typed('simple-enum', { type: 'simple-enum', enum: ['on', 'off'] }, `'on'`, 'off', 'NULL'),
  typed('int[]', { type: 'int', array: true }, `'{1,NULL,3}'`, [1, 2], `'{1,2,3}'`),
  typed('bigint[]', { type: 'bigint', array: true }, `'{9007199254740993,-1}'`, ['1'], `'{9007199254740992,-1}'`),
  typed(
    'numeric[]',
    { type: 'numeric', array: true },
    `'{0.12345678901234567890123,1.10}'`,
    ['1.5'],
    `'{0.12345678901234567890124,1.10}'`,
  ),
  typed('real[]', { type: 'real', array: true }, `'{0.1,NaN,Infinity}'`, [0.3], `'{0.1}'`),
  typed('double precision[]', { type: 'double precision', array: true }, `'{0.1,1e-300}'`, [0.3], `'{0.2}'`),
  typed(
    'text[] with nulls and quotes',
    { type: 'text', array: true },
    `ARRAY['a', NULL, 'NULL', '', '"q",{\\}']`,
    ['b', null, 'NULL', '', '"q",{\\}'],
    `ARRAY['a']`,
  ),
  typed('text[][]', { type: 'text', array: true }, `'{{a,b},{c,d}}'`, [['x', 'y']], `'{{a,b},{c,e}}'`),
  typed('varchar[]', { type: 'varchar', array: true, length: 4 }, `'{a,b}'`, ['c'], `'{a}'`),
  typed('char[]', { type: 'char', array: true, length: 4 }, `'{a,b}'`, ['c'], `'{a}'`),
  typed('citext[]', { type: 'citext', array: true }, `'{Bob,Ann}'`, ['c'], `'{BOB,Ann}'`),
  typed(
    'uuid[]',
    { type: 'uuid', array: true },
    `'{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}'`,
    [],
    'ARRAY[gen_random_uuid()]',
  ),
  typed('boolean[]', { type: 'boolean', array: true }, `'{t,f,NULL}'`, [false], `'{t}'`),
  typed(
    'bytea[]',
    { type: 'bytea', array: true },
    `ARRAY['\\x00ff'::bytea, '\\x22']`,
    [Buffer.from('a"b\\c')],
    `ARRAY['\\x00fe'::bytea]`,
  ),
  typed('date[]', { type: 'date', array: true }, `'{2024-02-29,2024-03-01}'`, ['2024-01-01'], `'{2024-02-28}'`),
  typed('time[]', { type: 'time', array: true }, `'{12:34:56.789012}'`, ['01:02:03'], `'{12:34:56.789013}'`),
  typed(
    'timestamp[]',
    { type: 'timestamp', array: true },
    `'{"2024-01-02 03:04:05.678901"}'`,
    [new Date('2025-01-01T00:00:00Z')],
    `'{"2024-01-02 03:04:05.678902"}'`,
  ),
  typed(
    'timestamptz[]',
    { type: 'timestamptz', array: true },
    `'{"2024-01-02 03:04:05.678901+03",NULL}'`,
    [new Date('2025-01-01T00:00:00Z')],
    `'{"2024-01-02 03:04:05.678902+03",NULL}'`,
  ),
  typed(
    'interval[]',
    { type: 'interval', array: true },
    `'{"1 mon 00:00:00.000001","2 days"}'`,
    ['2 days'],
    `'{"30 days 00:00:00.000001","2 days"}'`,
  ),
  typed('enum[]', { type: 'enum', enum: ['low', 'high'], array: true }, `'{low,high}'`, ['low'], `'{high}'`),
  typed('inet[]', { type: 'inet', array: true }, `'{10.0.0.1,10.0.0.1/8}'`, ['10.0.0.2'], `'{10.0.0.1}'`),
  typed('cidr[]', { type: 'cidr', array: true }, `'{10.0.0.0/8}'`, ['10.1.0.0/16'], `'{10.0.0.0/9}'`),
  typed('money[]', { type: 'money', array: true }, `'{1234.50}'`, ['5.00'], `'{1234.51}'`),
  typed(
    'json[]',
    { type: 'json', array: true },
    `ARRAY['{ "a": 1 }'::json, '{"n": 12345678901234567890}']`,
    [{ a: 2 }],
    `ARRAY['{ "a": 2 }'::json]`,
  ),
  typed(
    'jsonb[]',
    { type: 'jsonb', array: true },
    `ARRAY['{"a": 1}'::jsonb, '{"n": 12345678901234567890}']`,
    [{ a: 2 }],
    `ARRAY['{"a": 1}'::jsonb, '{"n": 12345678901234567891}']`,
  ),
  typed(
    'int4range[]',
    { type: 'int4range', array: true },
    `ARRAY['[1,5)'::int4range, '(,)']`,
    ['[3,4)'],
    `ARRAY['[1,6)'::int4range]`,
  ),
  typed('ltree[]', { type: 'ltree', array: true }, `'{Top.Science,Top}'`, null, `'{Top}'`),
  typed(
    'jsonb behind a transformer',
    {
      type: 'jsonb',
      transformer: { from: (v: { n: number } | null) => v?.n, to: (n: number | null) => (n === null ? null : { n }) },
    },
    `'{"n": 12345678901234567890}'`,
    5,
    `'{"n": 12345678901234567891}'`,
  ),
];

class Row {
  [property: string]: unknown;
  id!: number;
}

const column = (at: number): string => `c${at}`;
const Typed = new EntitySchema<Row>({
  name: 'Typed',
  target: Row,
  tableName: 'typed',
  columns: {
    id: { type: 'int', primary: true },
    ...Object.fromEntries(CASES.map((one, at) => [column(at), { nullable: true, ...one.column }])),
  } as never,
});

let env: SessionUnderTest;

beforeAll(async () => {
  env = await SessionUnderTest.start({
    entities: [Typed],
    schema: 'CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION ltree; CREATE EXTENSION cube',
    dataSource: { synchronize: true },
  });
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  await env.database.query('TRUNCATE typed');
  await env.database.query('INSERT INTO typed (id) VALUES (1), (2)');
});

const cases = CASES.map((one, at) => ({ ...one, property: column(at) }));

/** An equal value of other objects. */
function copyOf(value: unknown): unknown {
  if (value instanceof Date) return new Date(value.getTime());
  if (Buffer.isBuffer(value)) return Buffer.from(value);
  if (Array.isArray(value)) return value.map(copyOf);
  if (typeof value !== 'object' || value === null) return value;
  return Object.assign(Object.create(Object.getPrototypeOf(value) as object) as object, value);
}

describe.each(cases)('$name', ({ property, stored, value, rival }) => {
  const set = (sql: string): Promise<unknown> => env.database.query(`UPDATE typed SET ${property} = ${sql}`);
  const shown = async (): Promise<unknown> =>
    (await env.database.query(`SELECT ${property}::text AS shown FROM typed ORDER BY id`)).map(({ shown }) => shown);

  test('is unchanged when it was only read', async () => {
    await set(stored);
    await using session = env.factory.open();
    const rows = await session.find(Row);
    expect(session.dirty).toEqual([]);
    for (const row of rows) row[property] = copyOf(row[property]);
    await session.flush();
    expect(session.inTransaction).toBe(false);
  });

  test.each([{ rows: 1 }, { rows: 2 }])('is written where nobody has changed it, $rows at a time', async (given) => {
    await set(stored);
    const before = await shown();
    await using session = env.factory.open();
    const rows = await session.find(Row, { order: { id: 'ASC' }, take: given.rows });
    for (const row of rows) row[property] = value;
    await session.flush();
    for (const row of rows) row[property] = null;
    await session.commit();
    expect(await shown()).not.toEqual(before);
    expect(await shown()).toContain(null);
  });

  test.each([{ rows: 1 }, { rows: 2 }])('is stale where somebody else has, $rows at a time', async (given) => {
    await set(stored);
    await using session = env.factory.open();
    const rows = await session.find(Row, { order: { id: 'ASC' }, take: given.rows });
    for (const row of rows) row[property] = value;
    await set(rival);
    const before = await shown();
    await expect(session.commit()).rejects.toThrow(StaleDataError);
    expect(await shown()).toEqual(before);
  });

  test.each([{ rows: 1 }, { rows: 3 }])('is inserted, $rows at a time, as the next session reads it', async (given) => {
    const added = Array.from({ length: given.rows }, (_, at) =>
      Object.assign(new Row(), { id: 3 + at, [property]: value }),
    );
    await env.factory.begin(async (session) => {
      session.addAll(added);
      await session.flush();
      // What was written is known as it is in the database.
      for (const row of added) row[property] = null;
      await session.flush();
      for (const row of added) row[property] = value;
    });
    await using session = env.factory.open();
    for (const row of await session.find(Row, { where: added.map(({ id }) => ({ id })) }))
      row[property] = copyOf(value);
    expect(await session.count(Row)).toBe(2 + given.rows);
  });
});
