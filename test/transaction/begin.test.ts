import type pg from 'pg';
import { beginWithASyncOfItsOwn } from './begin-apart.js';
import { controls, transactionFixture } from './transaction-fixture.js';
import type { TransactionFixture } from './transaction-fixture.js';
import { thrownBy, until } from './waiting.js';

/** One BEGIN, lazy, with all that belongs to it, and nothing behind one that failed. */

let fixture: TransactionFixture;
beforeAll(async () => {
  fixture = await transactionFixture({ schema: 'CREATE TABLE seen (value text)' });
});
afterAll(async () => {
  await fixture.close();
});
beforeEach(async () => {
  await fixture.database.query('TRUNCATE note, seen');
});

describe('BEGIN is lazy', () => {
  test('a scope that runs no SQL takes no connection and sends nothing', async () => {
    const { transactions, proxy, source } = fixture;
    const seen = await proxy.record(() =>
      transactions.run(async () => {
        await transactions.run({ propagation: 'NESTED' }, async () => {
          await Promise.resolve();
          expect(source.heldConnections).toBe(0);
        });
      }),
    );
    expect(seen.sql).toEqual([]);
    expect(seen.opened).toBe(0);
  });

  test('it travels in the round trip of the first statement, SAVEPOINT with it', async () => {
    const { transactions, note, proxy } = fixture;
    const seen = await proxy.record(() =>
      transactions.run(() => transactions.run({ propagation: 'NESTED' }, () => note('a'))),
    );
    expect(controls(seen.sql)).toEqual(['BEGIN', 'SAVEPOINT uow_1', 'write', 'RELEASE SAVEPOINT uow_1', 'COMMIT']);
    expect(seen.roundTrips).toBe(2);
  });

  test('a value that cannot be encoded fails before anything is sent, and the transaction goes on', async () => {
    const { transactions, note, sql, proxy } = fixture;
    const circle: { self?: unknown } = {};
    circle.self = circle;
    const seen = await proxy.record(() =>
      transactions.run(async () => {
        await expect(sql('SELECT $1::json', [circle])).rejects.toBeInstanceOf(TypeError);
        await note('a');
      }),
    );
    expect(controls(seen.sql)).toEqual(['BEGIN', 'write', 'COMMIT']);
  });
});

describe('what goes with BEGIN', () => {
  test.each([
    [{}, 'BEGIN'],
    [{ isolation: 'SERIALIZABLE' }, 'BEGIN ISOLATION LEVEL SERIALIZABLE'],
    [{ isolation: 'REPEATABLE READ', readOnly: true }, 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY'],
    [
      { isolation: 'SERIALIZABLE', readOnly: true, deferrable: true },
      'BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE',
    ],
    [{ deferrable: false }, 'BEGIN NOT DEFERRABLE'],
  ] as const)('%j is said in one statement: %s [SP-23, SP-24]', async (options, begin) => {
    const { transactions, sql, proxy } = fixture;
    const seen = await proxy.record(() => transactions.run(options, () => sql('SELECT 1')));
    expect(seen.sql).toEqual([begin, 'SELECT 1', 'COMMIT']);
  });

  test('is what the server then uses', async () => {
    const { transactions, sql } = fixture;
    const rows = await transactions.run({ isolation: 'REPEATABLE READ', readOnly: true }, () =>
      sql(
        `SELECT current_setting('transaction_isolation') AS isolation, current_setting('transaction_read_only') AS ro`,
      ),
    );
    expect(rows).toEqual([{ isolation: 'repeatable read', ro: 'on' }]);
  });

  test('does not outlive the transaction on its connection [SP-23]', async () => {
    const { transactions, sql } = fixture;
    await transactions.run({ isolation: 'SERIALIZABLE', readOnly: true }, () => sql('SELECT 1'));
    const rows = await transactions.run(() =>
      sql(
        `SELECT current_setting('transaction_isolation') AS isolation, current_setting('transaction_read_only') AS ro`,
      ),
    );
    expect(rows).toEqual([{ isolation: 'read committed', ro: 'off' }]);
  });

  test('comes from the module where the scope does not say otherwise', async () => {
    await using other = await transactionFixture({
      rootDefaults: { isolation: 'REPEATABLE READ', readOnly: true },
    });
    const seen = await other.proxy.record(async () => {
      await other.transactions.run(() => other.sql('SELECT 1'));
      await other.transactions.run({ isolation: 'SERIALIZABLE', readOnly: false }, () => other.sql('SELECT 1'));
    });
    expect(seen.sql.filter((text) => text.startsWith('BEGIN'))).toEqual([
      'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY',
      'BEGIN ISOLATION LEVEL SERIALIZABLE',
    ]);
  });
});

describe('a BEGIN that fails', () => {
  test('leaves no row and no connection behind, and the function’s statement is not run [SP-39]', async () => {
    const { transactions, note, proxy, source } = fixture;
    await transactions.run(() => note('before'));
    // The server ends the session while it is idle: whatever comes next fails, BEGIN first.
    const hold = proxy.hold({ sql: 'BEGIN' });
    const work = transactions.run(() => note('a'));
    await hold.hit();
    proxy.cutNow(hold.held[0]?.connection);
    await expect(work).rejects.toMatchObject({ code: 'UOW_CONNECTION_LOST' });
    hold.release();
    expect(hold.hits).toBe(1);
    expect(source.heldConnections).toBe(0);
    await transactions.run(() => note('after'));
    expect(await fixture.notes()).toEqual(['after', 'before']);
  });

  describe('on the server', () => {
    const NONSENSE = 'NONSENSE';

    test('leaves no row, and every later transaction finds a connection', async () => {
      await using other = await transactionFixture({ poolSize: 2, options: { isolation: NONSENSE } });
      const seen = await other.proxy.record(async () => {
        for (let round = 0; round < 6; round += 1) {
          await expect(other.transactions.run(() => other.note('a'))).rejects.toMatchObject({ sqlState: '42601' });
        }
      });
      expect(seen.log.slice(0, 2)).toEqual([
        'BEGIN ISOLATION LEVEL NONSENSE => ERROR 42601',
        'INSERT INTO note VALUES ($1) => (skipped)',
      ]);
      expect(seen.statements.filter(({ outcome }) => outcome === 'failed')).toHaveLength(6);
      expect(other.source.heldConnections).toBe(0);
      await other.transactions.run({ isolation: 'READ COMMITTED' }, () => other.note('b'));
      expect(await other.notes()).toEqual(['b']);
    });

    test('leaves a row where BEGIN has a Sync of its own: the test above can fail', async () => {
      const client = await fixture.database.connect();
      await beginWithASyncOfItsOwn(client, `BEGIN ISOLATION LEVEL ${NONSENSE}`, "INSERT INTO note VALUES ('stray')");
      expect(await fixture.notes()).toEqual(['stray']);
    });

    test('is remembered where its error is swallowed: the scope does not report success', async () => {
      await using other = await transactionFixture({ options: { isolation: NONSENSE } });
      const error = await thrownBy(
        other.transactions.run(async () => {
          await other.note('a').catch(() => undefined);
          expect(await thrownBy(other.note('b'))).toMatchObject({ code: 'UOW_PENDING_ROLLBACK' });
        }),
      );
      expect(error).toMatchObject({ code: 'UOW_TRANSACTION_ROLLED_BACK', cause: { sqlState: '42601' } });
      expect(await other.notes()).toEqual([]);
    });
  });

  describe('because a cancel hit it', () => {
    // PostgreSQL looks for a cancel when it has read a statement; this one takes it a while to read.
    const SLOW_TO_READ = `READ COMMITTED /*${'.'.repeat(16 * 1024 * 1024)}*/`;
    const ROUNDS = 3;

    /** Cancels what the server process is reading; only then does it count. */
    async function cancelBegin(database: TransactionFixture['database'], pid: number): Promise<void> {
      for (;;) {
        const [row] = await database.query<{ hit: boolean }>(
          `SELECT pg_cancel_backend(pid) AS hit FROM pg_stat_activity
            WHERE pid = $1 AND state = 'active' AND query LIKE 'BEGIN%'`,
          [pid],
        );
        if (row?.hit === true) return;
      }
    }

    test('leaves no row (cancels counted)', async () => {
      await using other = await transactionFixture({ options: { isolation: SLOW_TO_READ } });
      let hits = 0;
      for (let round = 0; round < ROUNDS; round += 1) {
        const work = other.transactions.run(() => other.note('a'));
        const failed = thrownBy(work);
        await until(() => other.source.heldConnections === 1 && other.proxy.openConnections.some((one) => one.waiting));
        const pid = other.proxy.openConnections.find((one) => one.waiting)?.processId ?? 0;
        await cancelBegin(other.database, pid);
        expect(await failed).toMatchObject({ sqlState: '57014' });
        hits += other.proxy.statements.filter(
          ({ sql, error }) => sql.startsWith('BEGIN') && error?.code === '57014',
        ).length;
        other.proxy.clear();
        expect(await other.notes()).toEqual([]);
      }
      expect(hits).toBe(ROUNDS);
      expect(other.source.heldConnections).toBe(0);
    });

    test('leaves a row where BEGIN has a Sync of its own: the test above can fail', async () => {
      const client = await fixture.database.connect();
      const pid = (client as pg.Client & { processID: number }).processID;
      const work = beginWithASyncOfItsOwn(
        client,
        `BEGIN ISOLATION LEVEL ${SLOW_TO_READ}`,
        "INSERT INTO note VALUES ('stray')",
      );
      await cancelBegin(fixture.database, pid);
      await work;
      expect(await fixture.notes()).toEqual(['stray']);
    });
  });
});
