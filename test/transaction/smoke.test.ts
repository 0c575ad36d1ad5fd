import { transactionFixture, controls } from './transaction-fixture.js';
import type { TransactionFixture } from './transaction-fixture.js';

let fixture: TransactionFixture;
beforeAll(async () => {
  fixture = await transactionFixture();
});
afterAll(async () => {
  await fixture.close();
});

test('a function that returns commits, BEGIN in the round trip of its first statement', async () => {
  const { transactions, note, proxy } = fixture;
  const seen = await proxy.record(async () => {
    const value = await transactions.run(async () => {
      await note('first');
      await note('second');
      return 7;
    });
    expect(value).toBe(7);
  });
  expect(controls(seen.sql)).toEqual(['BEGIN', 'write', 'write', 'COMMIT']);
  expect(seen.roundTrips).toBe(3);
  expect(await fixture.notes()).toEqual(['first', 'second']);
});

test('a throw rolls back and reaches the caller as it is', async () => {
  const { transactions, note, proxy } = fixture;
  const error = new Error('no');
  const seen = await proxy.record(async () => {
    await expect(
      transactions.run(async () => {
        await note('third');
        throw error;
      }),
    ).rejects.toBe(error);
  });
  expect(controls(seen.sql)).toEqual(['BEGIN', 'write', 'ROLLBACK']);
  expect(await fixture.notes()).toEqual(['first', 'second']);
  expect(fixture.source.heldConnections).toBe(0);
});

test('nested', async () => {
  const { transactions, note, proxy } = fixture;
  const seen = await proxy.record(async () => {
    await transactions.run(async () => {
      await note('outer');
      await transactions.run({ propagation: 'NESTED' }, async () => note('a'));
      await transactions.run({ propagation: 'NESTED' }, async () => note('a')).catch(() => undefined);
      await transactions.run({ propagation: 'REQUIRES_NEW' }, async () => note('new'));
    });
  });
  expect(seen.transcripts.map(controls)).toEqual([
    [
      'BEGIN',
      'write',
      'SAVEPOINT uow_1',
      'write',
      'RELEASE SAVEPOINT uow_1',
      'SAVEPOINT uow_1',
      'write',
      'ROLLBACK TO SAVEPOINT uow_1',
      'RELEASE SAVEPOINT uow_1',
      'COMMIT',
    ],
    ['BEGIN', 'write', 'COMMIT'],
  ]);
  expect(await fixture.notes()).toEqual(['a', 'first', 'new', 'outer', 'second']);
});

test('swallowed', async () => {
  const { transactions, note } = fixture;
  await expect(
    transactions.run(async () => {
      await note('x');
      await note('first').catch(() => undefined);
    }),
  ).rejects.toMatchObject({ code: 'UOW_TRANSACTION_ROLLED_BACK', cause: { code: 'UOW_UNIQUE_VIOLATION' } });
});

test('timeout', async () => {
  const { transactions, sql, source } = fixture;
  await expect(
    transactions.run({ timeout: 150 }, async () => {
      await sql('SELECT pg_sleep(5)');
    }),
  ).rejects.toMatchObject({ code: 'UOW_TRANSACTION_TIMED_OUT' });
  expect(source.heldConnections).toBe(0);
});
