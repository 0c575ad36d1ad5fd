import { ambientTransaction } from '../../libs/uow/src/transaction/ambient.js';
import { transactionFixture } from './transaction-fixture.js';
import type { TransactionFixture } from './transaction-fixture.js';
import { Gate, thrownBy, until } from './waiting.js';

/** An AbortSignal cancels the running statement on the server and rolls back. */

const CANCELLED = { code: 'UOW_TRANSACTION_CANCELLED' };

let fixture: TransactionFixture;
beforeAll(async () => {
  fixture = await transactionFixture({ poolSize: 2, options: { acquireTimeout: Infinity } });
});
afterAll(async () => {
  await fixture.close();
});
beforeEach(async () => {
  await fixture.database.query('TRUNCATE note');
  fixture.proxy.clear();
});
afterEach(async () => {
  expect(fixture.source.heldConnections).toBe(0);
  await fixture.database.untilNoTransaction();
});

test('aborting during a statement cancels it on the server, and the reason is the cause', async () => {
  const { transactions, note, sql, proxy } = fixture;
  const controller = new AbortController();
  const reason = new Error('the user left');
  const work = transactions.run({ signal: controller.signal, label: 'Report.build' }, async () => {
    await note('a');
    await sql('SELECT pg_sleep(30)');
  });
  await until(() => proxy.sql.includes('SELECT pg_sleep(30)'));
  controller.abort(reason);
  const error = await thrownBy(work);
  expect(error).toMatchObject({
    ...CANCELLED,
    message: expect.stringMatching(/Report\.build.*the user left/) as string,
  });
  expect(error.cause).toBe(reason);
  expect(proxy.log).toContain('SELECT pg_sleep(30) => ERROR 57014');
  expect(await fixture.notes()).toEqual([]);
});

test('a connection that was sent a cancel is destroyed: a late cancel cannot hit the next borrower', async () => {
  const { transactions, note, sql, proxy } = fixture;
  const controller = new AbortController();
  const work = thrownBy(transactions.run({ signal: controller.signal }, () => sql('SELECT pg_sleep(30)')));
  await until(() => proxy.sql.includes('SELECT pg_sleep(30)'));
  const used = proxy.statements[0]?.connection;
  controller.abort();
  await work;
  await until(() => used?.closed === true);
  await transactions.run(() => note('next'));
  expect(proxy.statements.at(-1)?.connection).not.toBe(used);
});

test('a signal that was aborted before runs nothing', async () => {
  const { transactions, proxy } = fixture;
  let called = false;
  await expect(
    transactions.run({ signal: AbortSignal.abort() }, () => {
      called = true;
    }),
  ).rejects.toMatchObject(CANCELLED);
  expect(called).toBe(false);
  expect(proxy.sql).toEqual([]);
});

test('aborting while a connection is waited for ends the wait', async () => {
  const { transactions, note, sql, source } = fixture;
  const gate = new Gate();
  const holder = (): Promise<void> =>
    transactions.run(async () => {
      await sql('SELECT 1');
      await gate.pass();
    });
  const holders = [holder(), holder()];
  await until(() => source.heldConnections === 2);
  const controller = new AbortController();
  const work = transactions.run({ signal: controller.signal }, async () => {
    const waiting = note('a');
    controller.abort();
    await waiting;
  });
  await expect(work).rejects.toMatchObject(CANCELLED);
  gate.open();
  await Promise.all(holders);
  expect(await fixture.notes()).toEqual([]);
});

test('giving a transaction up from outside, without a signal, ends its wait for a connection', async () => {
  const { transactions, note, sql, source } = fixture;
  const gate = new Gate();
  const holder = (): Promise<void> =>
    transactions.run(async () => {
      await sql('SELECT 1');
      await gate.pass();
    });
  const holders = [holder(), holder()];
  await until(() => source.heldConnections === 2);
  const reason = new Error('given up');
  await expect(
    transactions.run(async () => {
      const waiting = note('a');
      await new Promise((resolve) => setImmediate(resolve));
      ambientTransaction(source)?.abort(reason);
      await waiting;
    }),
  ).rejects.toBe(reason);
  gate.open();
  await Promise.all(holders);
  expect(await fixture.notes()).toEqual([]);
});

test('a connection that comes when its transaction has been given up goes back at once', async () => {
  await using own = await transactionFixture({ poolSize: 1 });
  const { transactions, note, source, proxy } = own;
  // The pool's only connection has to be opened anew, and that takes until after the end.
  const { master } = own.dataSource.driver as unknown as { master: { readonly totalCount: number } };
  proxy.cutNow();
  await until(() => master.totalCount === 0);
  proxy.delay({ toClient: 300 });
  const opened = proxy.opened;
  const reason = new Error('given up');
  let stray: Promise<unknown> | undefined;
  await expect(
    transactions.run(async () => {
      stray = thrownBy(note('a'));
      await until(() => proxy.opened > opened);
      ambientTransaction(source)?.abort(reason);
    }),
  ).rejects.toBe(reason);
  expect(source.heldConnections).toBe(0);
  proxy.delay({});
  expect(await stray).toBe(reason);
  expect(source.heldConnections).toBe(0);
  await transactions.run(() => note('next'));
  expect(await own.notes()).toEqual(['next']);
});

test('aborting between two statements sends no cancel, and the connection stays good', async () => {
  const { transactions, note, proxy } = fixture;
  const controller = new AbortController();
  await expect(
    transactions.run({ signal: controller.signal }, async () => {
      await note('a');
      controller.abort();
      await note('b');
    }),
  ).rejects.toMatchObject(CANCELLED);
  expect(proxy.cancelRequests).toEqual([]);
  expect(proxy.log.at(-1)).toBe('ROLLBACK => ROLLBACK');
  expect(proxy.statements[0]?.connection.closed).toBe(false);
});

test('aborting once COMMIT is on its way comes too late: the work is committed and says so', async () => {
  const { transactions, note, proxy } = fixture;
  const controller = new AbortController();
  const hold = proxy.hold({ sql: 'COMMIT' });
  const work = transactions.run({ signal: controller.signal }, async () => {
    await note('a');
    return 'done';
  });
  await hold.hit();
  controller.abort();
  hold.release();
  expect(await work).toBe('done');
  expect(hold.hits).toBe(1);
  expect(proxy.cancelRequests).toEqual([]);
  expect(await fixture.notes()).toEqual(['a']);
});

test('a nested scope’s signal ends the transaction while that scope runs, and not afterwards', async () => {
  const { transactions, note, sql, proxy } = fixture;
  const controller = new AbortController();
  await transactions.run(async () => {
    await transactions.run({ signal: controller.signal }, () => note('a'));
    controller.abort();
    await note('b');
  });
  expect(await fixture.notes()).toEqual(['a', 'b']);

  const second = new AbortController();
  const work = transactions.run(() => transactions.run({ signal: second.signal }, () => sql('SELECT pg_sleep(30)')));
  await until(() => proxy.sql.includes('SELECT pg_sleep(30)'));
  second.abort();
  await expect(work).rejects.toMatchObject(CANCELLED);
});

test('an inner transaction is cancelled with the suspended one around it, and rolled back before it', async () => {
  const { transactions, note, sql, proxy } = fixture;
  const controller = new AbortController();
  const work = transactions.run({ signal: controller.signal }, async () => {
    await note('outer');
    await transactions.run({ propagation: 'REQUIRES_NEW' }, async () => {
      await note('inner');
      await sql('SELECT pg_sleep(30)');
    });
  });
  await until(() => proxy.sql.includes('SELECT pg_sleep(30)'));
  controller.abort();
  await expect(work).rejects.toMatchObject(CANCELLED);
  // The caller hears of it when both are rolled back, not before.
  expect(proxy.sql.filter((text) => text === 'ROLLBACK')).toHaveLength(2);
  expect(await fixture.notes()).toEqual([]);
});

test('a cancel request that comes before the server has begun with the statement is repeated', async () => {
  const { transactions, sql, proxy } = fixture;
  const controller = new AbortController();
  const hold = proxy.hold({ sql: 'SELECT pg_sleep(30)' });
  const work = transactions.run({ signal: controller.signal }, () => sql('SELECT pg_sleep(30)'));
  await hold.hit();
  controller.abort();
  // The first one finds an idle server process, which pays no heed to it.
  await until(() => proxy.cancelRequests.length > 1);
  hold.release();
  await expect(work).rejects.toMatchObject(CANCELLED);
  expect(proxy.log).toContain('SELECT pg_sleep(30) => ERROR 57014');
});

test('aborting while subscribers are told of BEGIN sends neither BEGIN nor the statement', async () => {
  const { transactions, note, source, proxy } = fixture;
  const controller = new AbortController();
  transactions.observe(source, {
    beforeBegin: () => {
      controller.abort();
    },
  });
  try {
    await expect(transactions.run({ signal: controller.signal }, () => note('a'))).rejects.toMatchObject(CANCELLED);
  } finally {
    transactions.observe(source, null);
  }
  await proxy.settled();
  expect(proxy.sql).toEqual([]);
});

test('waiting branches are refused with the same error', async () => {
  const { transactions, note, sql, proxy } = fixture;
  const controller = new AbortController();
  const branches: Record<string, unknown>[] = [];
  const work = transactions.run({ signal: controller.signal }, async () => {
    const first = sql('SELECT pg_sleep(30)');
    const waiting = [note('a'), note('b')];
    await until(() => proxy.sql.includes('SELECT pg_sleep(30)'));
    controller.abort();
    for (const one of [first, ...waiting]) branches.push(await thrownBy(one));
  });
  await expect(work).rejects.toMatchObject(CANCELLED);
  await until(() => branches.length === 3);
  expect(branches).toMatchObject([CANCELLED, CANCELLED, CANCELLED]);
  expect(proxy.sql).not.toContain('INSERT INTO note VALUES ($1)');
});

test('a server that does not answer the cancel loses its connection, and the caller hears all the same', async () => {
  const { transactions, sql, proxy } = fixture;
  const controller = new AbortController();
  // The answer to the statement never comes through.
  const hold = proxy.hold({ direction: 'toClient', sql: 'SELECT pg_sleep(30)' });
  const work = transactions.run({ signal: controller.signal }, () => sql('SELECT pg_sleep(30)'));
  await until(() => proxy.sql.includes('SELECT pg_sleep(30)'));
  controller.abort();
  await expect(work).rejects.toMatchObject(CANCELLED);
  expect(hold.hits).toBe(1);
  hold.release();
});
