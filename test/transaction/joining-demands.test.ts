import type { TransactionOptions } from '../../libs/uow/src/transaction/transaction-definition.js';
import { transactionFixture } from './transaction-fixture.js';
import type { TransactionFixture } from './transaction-fixture.js';
import { thrownBy } from './waiting.js';

/** A scope that joins gets what it declares, or an error that names both. Never a silent downgrade. */

let fixture: TransactionFixture;
beforeAll(async () => {
  fixture = await transactionFixture({ rootDefaults: { isolation: 'REPEATABLE READ' } });
});
afterAll(async () => {
  await fixture.close();
});
beforeEach(async () => {
  fixture.warnings.length = 0;
  await fixture.database.query('TRUNCATE note');
});

const within = (
  outer: TransactionOptions,
  inner: TransactionOptions,
  fn: () => unknown = () => 'joined',
): Promise<unknown> =>
  fixture.transactions.run({ label: 'Outer.method', ...outer }, async () => {
    await fixture.note('a');
    return fixture.transactions.run({ label: 'Inner.method', ...inner }, fn);
  });

describe.each(['REQUIRED', 'NESTED', 'SUPPORTS', 'MANDATORY'] as const)('%s', (propagation) => {
  test.each([
    ['another isolation', {}, { isolation: 'SERIALIZABLE' }, /SERIALIZABLE.*REPEATABLE READ/],
    ['deferrable', { isolation: 'SERIALIZABLE', readOnly: true }, { deferrable: true }, /deferrable true.*false/],
    ['a local that is not set', {}, { locals: { 'app.tenant': 'acme' } }, /app\.tenant.*acme.*none/],
    [
      'a local that is set otherwise',
      { locals: { 'app.tenant': 'umbrella' } },
      { locals: { 'app.tenant': 'acme' } },
      /app\.tenant.*acme.*umbrella/,
    ],
    ['retry', {}, { retry: { attempts: 3 } }, /retry.*Outer\.method/],
  ] as [string, TransactionOptions, TransactionOptions, RegExp][])(
    'that demands %s is refused, naming both scopes [SP-21]',
    async (_, outer, inner, said) => {
      // A read-only outer one cannot write its note; it is left out there.
      const work =
        outer.readOnly === true
          ? fixture.transactions.run({ label: 'Outer.method', ...outer }, () =>
              fixture.transactions.run(
                { label: 'Inner.method', propagation, readOnly: true, ...inner },
                () => 'joined',
              ),
            )
          : within(outer, { propagation, ...inner });
      const error = await thrownBy(work);
      expect(error).toMatchObject({
        code: 'UOW_ILLEGAL_TRANSACTION_STATE',
        message: expect.stringMatching(said) as string,
      });
      expect(error.message).toMatch(/Inner\.method.*Outer\.method/);
      expect(await fixture.notes()).toEqual([]);
    },
  );

  test('whose demands are met joins', async () => {
    const options: TransactionOptions = { isolation: 'SERIALIZABLE', locals: { 'app.tenant': 'acme' } };
    expect(await within(options, { propagation, ...options })).toBe('joined');
  });

  test('that demands nothing joins whatever is open: module defaults are the root’s alone', async () => {
    expect(await within({ isolation: 'SERIALIZABLE' }, { propagation })).toBe('joined');
  });

  test('read-only joins a read-write transaction [SP-22]', async () => {
    const value = await within({}, { propagation, readOnly: true }, () => fixture.transactions.current()?.readOnly);
    expect(value).toBe(true);
  });

  test('read-write is refused by a read-only transaction [SP-22]', async () => {
    await expect(
      fixture.transactions.run({ readOnly: true }, () =>
        fixture.transactions.run({ propagation, readOnly: false }, () => 'joined'),
      ),
    ).rejects.toMatchObject({ code: 'UOW_ILLEGAL_TRANSACTION_STATE' });
  });

  test('read-write is refused by a read-only scope of a read-write transaction', async () => {
    await expect(
      within({}, { readOnly: true }, () => fixture.transactions.run({ propagation, readOnly: false }, () => 'joined')),
    ).rejects.toMatchObject({ code: 'UOW_ILLEGAL_TRANSACTION_STATE' });
  });

  test('is never refused for its timeout', async () => {
    expect(await within({ timeout: 20_000 }, { propagation, timeout: 10_000 })).toBe('joined');
    await fixture.database.query('TRUNCATE note');
    expect(await within({}, { propagation, timeout: 10_000 })).toBe('joined');
  });
});

test('READ UNCOMMITTED and READ COMMITTED are the same to PostgreSQL, and to a demand', async () => {
  expect(await within({ isolation: 'READ COMMITTED' }, { isolation: 'READ UNCOMMITTED' })).toBe('joined');
});

test('REQUIRES_NEW has its own isolation, read-only and timeout [SP-28]', async () => {
  const value = await within(
    {},
    { propagation: 'REQUIRES_NEW', isolation: 'SERIALIZABLE', readOnly: true, timeout: 10_000 },
    () =>
      fixture.sql(
        `SELECT current_setting('transaction_isolation') AS isolation, current_setting('transaction_read_only') AS ro`,
      ),
  );
  expect(value).toEqual([{ isolation: 'serializable', ro: 'on' }]);
});

test('a failed demand marks nothing by itself: the owner may catch it and commit', async () => {
  const { transactions, note } = fixture;
  await transactions.run(async () => {
    await note('a');
    await thrownBy(transactions.run({ isolation: 'SERIALIZABLE' }, () => undefined));
  });
  expect(await fixture.notes()).toEqual(['a']);
});

test('isolation and timeout of a scope without a transaction are reported and ignored [SP-25]', async () => {
  const { transactions, warnings } = fixture;
  const value = await transactions.run({ propagation: 'SUPPORTS', isolation: 'SERIALIZABLE', timeout: 5 }, () => 'ran');
  expect(value).toBe('ran');
  expect(warnings).toMatchObject([
    {
      code: 'UOW_WARN_OPTIONS_WITHOUT_TRANSACTION',
      message: expect.stringMatching(/isolation, timeout.*SUPPORTS/) as string,
    },
  ]);
});

test('retry of a scope without a transaction is refused: there is nothing to run again', async () => {
  await expect(
    fixture.transactions.run({ propagation: 'NEVER', retry: { attempts: 2 } }, () => undefined),
  ).rejects.toMatchObject({ code: 'UOW_ILLEGAL_TRANSACTION_STATE' });
});
