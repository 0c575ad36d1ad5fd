import { ambientTransaction, currentFrame } from '../../libs/uow/src/transaction/ambient.js';
import { prepares } from '../support/tried-options.js';
import { transactionFixture } from './transaction-fixture.js';
import type { TransactionFixture } from './transaction-fixture.js';
import { Gate, thrownBy, until } from './waiting.js';

/** What the library believes of a connection is what the server said of it. */

let fixture: TransactionFixture;
beforeAll(async () => {
  fixture = await transactionFixture({ poolSize: 2 });
});
afterAll(async () => {
  await fixture.close();
});
beforeEach(async () => {
  await fixture.database.query('TRUNCATE note');
});

const here = (): NonNullable<ReturnType<typeof ambientTransaction>> => {
  const transaction = ambientTransaction(fixture.source);
  if (transaction === null) throw new Error('outside');
  return transaction;
};

/** What the server said last on the connection that is in use. */
const onTheWire = (): string | undefined =>
  fixture.proxy.openConnections.find((one) => one.processId === here().processId)?.status;

test('at each step the transaction knows what the server knows', async () => {
  const { transactions, note } = fixture;
  await thrownBy(
    transactions.run(async () => {
      expect([here().begun, here().failure, here().processId]).toEqual([false, null, null]);
      await note('a');
      expect([here().begun, here().failure, onTheWire()]).toEqual([true, null, 'open']);
      await transactions
        .run({ propagation: 'NESTED' }, async () => {
          await note('b');
          expect([here().savepoint?.state, onTheWire()]).toEqual(['open', 'open']);
          const error = await thrownBy(note('b'));
          expect([here().failure, onTheWire()]).toEqual([error, 'failed']);
        })
        .catch(() => undefined);
      expect([here().savepoint, here().failure, onTheWire()]).toEqual([null, null, 'open']);
      const error = await thrownBy(note('a'));
      expect([here().failure, onTheWire()]).toEqual([error, 'failed']);
    }),
  );
  expect(fixture.proxy.openConnections.map(({ status }) => status)).toEqual(['idle']);
});

describe('a connection goes back to the pool only when the server says that it is idle', () => {
  test.each([
    ['COMMIT', false],
    ['ROLLBACK', true],
  ])('after %s it does', async (last, fails) => {
    const { transactions, note, proxy } = fixture;
    const seen = await proxy.record(() =>
      transactions
        .run(async () => {
          await note('a');
          if (fails) throw new Error('no');
        })
        .catch(() => undefined),
    );
    expect(seen.sql.at(-1)).toBe(last);
    expect(seen.statements[0]?.connection.closed).toBe(false);
    const next = await proxy.record(() => transactions.run(() => note('b')));
    expect(next.statements[0]?.connection).toBe(seen.statements[0]?.connection);
  });

  test('after a ROLLBACK that fails it does not', async () => {
    const { transactions, note, proxy } = fixture;
    const cut = proxy.cut({ sql: 'ROLLBACK' });
    const seen = await proxy.record(() =>
      thrownBy(
        transactions.run(async () => {
          await note('a');
          throw new Error('no');
        }),
      ),
    );
    expect(cut.hits).toBe(1);
    const used = seen.statements[0]?.connection;
    await until(() => used?.closed === true);
    await fixture.database.untilNoTransaction();
    const next = await proxy.record(() => transactions.run(() => note('b')));
    expect(next.statements[0]?.connection).not.toBe(used);
    expect(await fixture.notes()).toEqual(['b']);
  });

  test('after the socket was lost in mid-statement it does not, and the caller hears of it', async () => {
    const { transactions, note, sql, proxy, source } = fixture;
    const cut = proxy.cut({ sql: 'SELECT 42' });
    await expect(
      transactions.run(async () => {
        await note('a');
        await sql('SELECT 42');
      }),
    ).rejects.toMatchObject({ code: 'UOW_CONNECTION_LOST' });
    expect(cut.hits).toBe(1);
    expect(source.heldConnections).toBe(0);
  });

  test('after the server ended it while it was idle in the transaction it does not, and the process lives', async () => {
    const { transactions, note, database, proxy } = fixture;
    const unhandled: unknown[] = [];
    const onUnhandled = (error: unknown): void => void unhandled.push(error);
    process.on('uncaughtException', onUnhandled);
    await expect(
      transactions.run(async () => {
        await note('a');
        const used = proxy.statements.at(-1)?.connection;
        await database.query('SELECT pg_terminate_backend($1)', [used?.processId]);
        await until(() => used?.closed === true);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }),
    ).rejects.toMatchObject({ code: 'UOW_CONNECTION_LOST' });
    process.off('uncaughtException', onUnhandled);
    expect(unhandled).toEqual([]);
  });
});

test('a failed COMMIT leaves a connection that is idle, and is used again', async () => {
  await using own = await transactionFixture({
    poolSize: 1,
    schema: 'CREATE TABLE pair (a int UNIQUE DEFERRABLE INITIALLY DEFERRED)',
  });
  const seen = await own.proxy.record(async () => {
    await expect(
      own.transactions.run(async () => {
        await own.sql('INSERT INTO pair VALUES (1), (1)');
      }),
    ).rejects.toMatchObject({ code: 'UOW_UNIQUE_VIOLATION' });
    await own.transactions.run(() => own.note('next'));
  });
  expect(seen.transcripts).toHaveLength(1);
});

test('work on many connections at once leaves all of them idle and none held', async () => {
  await using own = await transactionFixture({ poolSize: 8 });
  const { transactions, note, sql, source, proxy } = own;
  const kinds: ((n: number) => Promise<unknown>)[] = [
    (n: number) => transactions.run(() => note(`ok ${n}`)),
    (n: number) =>
      transactions.run(async () => {
        await note(`thrown ${n}`);
        throw new Error('no');
      }),
    () => transactions.run(() => sql('SELECT 1/0')),
    () => transactions.run(() => sql('nonsense')),
    (n: number) => transactions.run({ propagation: 'REQUIRES_NEW' }, () => note(`new ${n}`)),
    () => transactions.run({ timeout: 20 }, () => sql('SELECT pg_sleep(10)')),
  ];
  await Promise.allSettled(
    Array.from({ length: 60 }, (_, n) => (kinds[n % kinds.length] as (n: number) => Promise<unknown>)(n)),
  );
  expect(source.heldConnections).toBe(0);
  await own.database.untilNoTransaction();
  expect(proxy.openConnections.map(({ status }) => status).every((status) => status === 'idle')).toBe(true);
  expect(await own.notes()).toHaveLength(20);
});

test('a second transaction on a pooled connection reuses its prepared statements', async () => {
  await using own = await transactionFixture({ poolSize: 1 });
  const seen = await own.proxy.record(async () => {
    await own.transactions.run(() => own.note('a'));
    await own.transactions.run(() => own.note('b'));
  });
  const again = String(!prepares);
  expect(seen.statements.map(({ sql, parsed }) => `${sql.split(' ')[0] ?? ''} ${String(parsed)}`)).toEqual([
    'BEGIN true',
    'INSERT true',
    'COMMIT true',
    `BEGIN ${again}`,
    `INSERT ${again}`,
    `COMMIT ${again}`,
  ]);
});

test('a prepared statement whose Parse succeeded but whose execution failed is not used again by its name', async () => {
  await using own = await transactionFixture({ poolSize: 1 });
  await thrownBy(own.transactions.run(() => own.sql('SELECT 1/$1::int', [0])));
  const rows = await own.transactions.run(() => own.sql('SELECT 1/$1::int AS q', [1]));
  expect(rows).toEqual([{ q: 1 }]);
});

test('a held answer keeps the connection out of the pool until it comes', async () => {
  const { transactions, note, proxy, source } = fixture;
  const hold = proxy.hold({ direction: 'toClient', sql: 'COMMIT' });
  const done = new Gate();
  const work = transactions.run(() => note('a')).then(() => done.pass());
  await hold.hit();
  expect(source.heldConnections).toBe(1);
  hold.release();
  await done.reached();
  expect(source.heldConnections).toBe(0);
  done.open();
  await work;
});

test('a connection that is opened inside a scope belongs to no scope: it holds no request, and no request’s context', async () => {
  await using own = await transactionFixture({ poolSize: 2 });
  const frames: unknown[] = [];
  const { master } = own.dataSource.driver as unknown as {
    master: { on(event: 'connect', listener: () => void): void };
  };
  master.on('connect', () => frames.push(currentFrame()));
  await own.transactions.run(async () => {
    await own.note('a');
    await own.transactions.run({ propagation: 'REQUIRES_NEW' }, () => own.note('b'));
  });
  // The pool has one from the start.
  expect(frames).toEqual([undefined]);
});
