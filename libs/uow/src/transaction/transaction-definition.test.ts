import {
  beginStatement,
  checkDemands,
  defineTransaction,
  localsStatement,
  openingStatements,
  withDefaults,
} from './transaction-definition.js';
import type { TransactionOptions } from './transaction-definition.js';

const define = (options: TransactionOptions): ReturnType<typeof defineTransaction> => defineTransaction(options, 'A.b');

test('without options it is REQUIRED, and demands nothing', () => {
  expect(define({})).toMatchObject({ propagation: 'REQUIRED', label: 'A.b', isolation: undefined, timeout: undefined });
});

test.each([
  [{ propagation: 'REQUIRE' }, /propagation "REQUIRE"/],
  [{ isolation: 'SNAPSHOT' }, /isolation "SNAPSHOT"/],
  [{ timeout: 0 }, /timeout 0/],
  [{ timeout: 2 ** 31 }, /timeout 2147483648/],
  [{ retry: { attempts: 0 } }, /retry\.attempts 0/],
  [{ retry: { attempts: 1.5 } }, /retry\.attempts 1\.5/],
  [{ locals: { "a'b": 1 } }, /locals/],
] as [object, RegExp][])('%j is refused, naming the scope and the option', (options, said) => {
  const make = (): unknown => define(options);
  expect(make).toThrow(expect.objectContaining({ code: 'UOW_ILLEGAL_TRANSACTION_STATE' }) as Error);
  expect(make).toThrow(said);
  expect(make).toThrow(/A\.b/);
});

test('one BEGIN says it all', () => {
  const text = beginStatement({ isolation: 'SERIALIZABLE', readOnly: true, deferrable: true }).text;
  expect(text).toBe('BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE');
  expect(beginStatement({ isolation: undefined, readOnly: false, deferrable: undefined }).text).toBe('BEGIN');
});

test('locals are one statement with parameters', () => {
  expect(localsStatement({ 'app.a': '1', 'app.b': "x'" })).toEqual({
    text: 'SELECT set_config($1, $2, true), set_config($3, $4, true)',
    values: ['app.a', '1', 'app.b', "x'"],
  });
});

test.each([
  [180_004, 'transaction_timeout'],
  [170_000, 'transaction_timeout'],
  [160_009, 'statement_timeout'],
  [130_000, 'statement_timeout'],
])('the server of version %d is told the remaining time as %s', (version, setting) => {
  const statements = openingStatements(define({ timeout: 5_000 }), performance.now() + 5_000, version);
  expect(statements.map(({ text }) => text)).toEqual(['BEGIN', 'SELECT set_config($1, $2, true)']);
  const [name, value] = statements[1]?.values as [string, string];
  expect(name).toBe(setting);
  expect(Number(value)).toBeLessThanOrEqual(5_000);
});

test('a deadline that has passed is still told as a positive time: 0 would mean none', () => {
  expect(openingStatements(define({}), performance.now() - 10, 180_000)[1]?.values?.[1]).toBe('1');
});

test('module defaults fill in what a root leaves open, the data source’s isolation what both leave open', () => {
  const filled = withDefaults(
    define({ readOnly: false, locals: { 'app.b': 2 } }),
    { readOnly: true, timeout: 100, locals: { 'app.a': 1, 'app.b': 1 } },
    'SERIALIZABLE',
  );
  expect(filled).toMatchObject({
    readOnly: false,
    timeout: 100,
    isolation: 'SERIALIZABLE',
    locals: { 'app.a': '1', 'app.b': '2' },
    label: 'A.b',
  });
  expect(withDefaults(define({ isolation: 'REPEATABLE READ' }), {}, 'SERIALIZABLE').isolation).toBe('REPEATABLE READ');
});

test('a demand that the open transaction meets passes', () => {
  const open = define({ isolation: 'SERIALIZABLE', deferrable: true, locals: { 'app.a': 1, 'app.b': 2 } });
  expect(() => {
    checkDemands(define({ isolation: 'SERIALIZABLE', deferrable: true, locals: { 'app.b': 2 } }), open, false);
    checkDemands(define({ readOnly: true }), open, false);
    checkDemands(define({ isolation: 'READ UNCOMMITTED' }), define({}), false);
  }).not.toThrow();
});
