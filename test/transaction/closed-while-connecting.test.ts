import type { AmbientUnit } from '../../libs/uow/src/transaction/ambient-unit.js';
import { transactionFixture } from './transaction-fixture.js';

test('a statement whose context closes while it waits for a connection is refused and sends nothing', async () => {
  await using fixture = await transactionFixture({ poolSize: 1 });
  const { transactions, source, proxy, note } = fixture;
  let release!: () => void;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  let taken!: () => void;
  const isTaken = new Promise<void>((resolve) => {
    taken = resolve;
  });
  const holder = transactions.run(async () => {
    await note('first');
    taken();
    await held;
  });
  await isTaken;

  const unit: AmbientUnit = transactions.openUnit('a request that ends early');
  const transaction = unit.contextOf(source)?.begin('begin', 'session.begin()');
  const stray = transaction?.run([{ text: "INSERT INTO note VALUES ('stray')" }]);
  const refused = expect(stray).rejects.toMatchObject({ code: 'UOW_TRANSACTION_CLOSED' });
  await unit.close();
  release();
  await holder;
  await refused;

  expect(proxy.sql.filter((text) => text.includes('stray'))).toEqual([]);
  expect(await fixture.notes()).toEqual(['first']);
  expect(source.heldConnections).toBe(0);
});
