import { runAndRollBack } from 'nestjs-uow/testing';
import { controls, transactionFixture } from '../transaction/transaction-fixture.js';
import type { TransactionFixture } from '../transaction/transaction-fixture.js';

let fixture: TransactionFixture;
beforeAll(async () => {
  fixture = await transactionFixture();
});
afterAll(async () => {
  await fixture.close();
});

test('runAndRollBack gives the result of the test and leaves no row of what joined it', async () => {
  const { transactions, note, sql, proxy } = fixture;
  const seen = await proxy.record(async () => {
    const count = await runAndRollBack(transactions, async () => {
      await transactions.run(async () => note('joined'));
      return Number((await sql('SELECT count(*) FROM note'))[0]?.count);
    });
    expect(count).toBe(1);
  });
  expect(controls(seen.sql)).toEqual(['BEGIN', 'write', 'SELECT count(*) FROM note', 'ROLLBACK']);
  expect(await fixture.notes()).toEqual([]);
});

test('runAndRollBack lets the error of the test through', async () => {
  const error = new Error('expected 1, got 2');
  await expect(
    runAndRollBack(fixture.transactions, () => {
      throw error;
    }),
  ).rejects.toBe(error);
});
