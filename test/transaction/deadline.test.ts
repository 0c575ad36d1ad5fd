import { DataSource } from 'typeorm';
import { Database } from '../../libs/uow/src/database/database.js';
import { TransactionManager } from '../../libs/uow/src/transaction/transaction-manager.js';
import { ambientTransaction } from '../../libs/uow/src/transaction/ambient.js';
import { DataSourceConnections } from '../../libs/uow/src/typeorm/data-source-connections.js';
import { transactionFixture } from './transaction-fixture.js';
import type { TransactionFixture } from './transaction-fixture.js';
import { Gate, thrownBy, until } from './waiting.js';

/** One deadline for the whole transaction, kept by the client and by the server. */

const TIMED_OUT = { code: 'UOW_TRANSACTION_TIMED_OUT' };

let fixture: TransactionFixture;
beforeAll(async () => {
  fixture = await transactionFixture({
    poolSize: 2,
    options: { acquireTimeout: Infinity },
    schema: `CREATE TABLE slow (id int);
             CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(30); RETURN NULL; END $$;
             CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED
               FOR EACH ROW EXECUTE FUNCTION dawdle();`,
  });
});
afterAll(async () => {
  await fixture.close();
});
beforeEach(async () => {
  await fixture.database.query('TRUNCATE note');
});
afterEach(async () => {
  expect(fixture.source.heldConnections).toBe(0);
  await fixture.database.untilNoTransaction();
});

/** Keeps this thread from running any timer, so that the server is the first to notice. */
const blockThread = (milliseconds: number): void => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
};

describe('when it passes', () => {
  test('during a statement: that is cancelled on the server, all is rolled back, the error names the method and the time', async () => {
    const { transactions, note, sql, proxy } = fixture;
    const seen = await proxy.record(async () => {
      const error = await thrownBy(
        transactions.run({ label: 'Report.build', timeout: 500 }, async () => {
          await note('a');
          await sql('SELECT pg_sleep(30)');
        }),
      );
      expect(error).toMatchObject({
        ...TIMED_OUT,
        message: expect.stringMatching(/Report\.build.*500 ms/) as string,
      });
    });
    // By the client's cancel or by the server's own timer, whichever is first.
    expect(seen.log.at(3)).toMatch(/^SELECT pg_sleep\(30\) => (ERROR 57014|FATAL 25P04)$/);
    expect(await fixture.notes()).toEqual([]);
  });

  test('while the function does something else: the caller hears of it at once, and its later work is refused', async () => {
    const { transactions, note } = fixture;
    const gate = new Gate();
    let later: unknown;
    const late = new Gate();
    await expect(
      transactions.run({ timeout: 500 }, async () => {
        await note('a');
        await gate.pass();
        later = await thrownBy(note('b'));
        void late.pass();
      }),
    ).rejects.toMatchObject(TIMED_OUT);
    gate.open();
    await late.reached();
    expect(later).toMatchObject({ code: 'UOW_TRANSACTION_CLOSED' });
    expect(await fixture.notes()).toEqual([]);
  });

  test('while it waits for a connection: that counts', async () => {
    const { transactions, note } = fixture;
    const gate = new Gate();
    const holder = (): Promise<void> =>
      transactions.runInContext('a holder', () =>
        transactions.run(async () => {
          await fixture.sql('SELECT 1');
          await gate.pass();
        }),
      );
    const holders = [holder(), holder()];
    await until(() => fixture.source.heldConnections === 2);
    await expect(transactions.run({ timeout: 100 }, () => note('a'))).rejects.toMatchObject(TIMED_OUT);
    gate.open();
    await Promise.all(holders);
    expect(await fixture.notes()).toEqual([]);
  });

  test('while it waits for its turn behind another root scope of its context: that counts', async () => {
    const { transactions, note } = fixture;
    const gate = new Gate();
    await transactions.runInContext('a request', async () => {
      const first = transactions.run(async () => {
        await note('a');
        await gate.pass();
      });
      await gate.reached();
      await expect(transactions.run({ timeout: 100 }, () => note('b'))).rejects.toMatchObject(TIMED_OUT);
      gate.open();
      await first;
    });
    expect(await fixture.notes()).toEqual(['a']);
  });

  test('with the error swallowed: the scope does not report success', async () => {
    const { transactions, sql } = fixture;
    await expect(
      transactions.run({ timeout: 100 }, async () => {
        await sql('SELECT pg_sleep(30)').catch(() => undefined);
        return 'fine';
      }),
    ).rejects.toMatchObject(TIMED_OUT);
  });

  test('after an error of the application’s own: that is the cause', async () => {
    const { transactions, sql } = fixture;
    const mine = new Error('mine');
    await expect(
      transactions.run({ timeout: 100 }, async () => {
        await sql('SELECT pg_sleep(30)').catch(() => {
          throw mine;
        });
      }),
    ).rejects.toMatchObject(TIMED_OUT);
  });

  test('the connection whose statement was ended is never pooled again', async () => {
    const { transactions, sql, proxy } = fixture;
    // The deadline must not pass before the statement is sent: only then there is a connection to see.
    await transactions.run(() => sql('SELECT 1'));
    const seen = await proxy.record(() =>
      thrownBy(transactions.run({ timeout: 500 }, () => sql('SELECT pg_sleep(30)'))),
    );
    const used = seen.statements[0]?.connection;
    await until(() => used?.closed === true);
  });
});

describe('one deadline', () => {
  test('holds for nested scopes: they inherit what remains [SP-26]', async () => {
    const { transactions, sql } = fixture;
    let left: number[] = [];
    await transactions.run({ timeout: 20_000 }, async () => {
      await sql('SELECT 1');
      const outer = transactions.current()?.timeLeft ?? 0;
      await transactions.run({ timeout: 60_000 }, () => {
        left = [outer, transactions.current()?.timeLeft ?? 0];
      });
    });
    expect(left[1]).toBeLessThanOrEqual(left[0] as number);
    expect(left[0]).toBeLessThanOrEqual(20_000);
  });

  test.each(['REQUIRED', 'NESTED'] as const)(
    'of a %s scope that is earlier holds for that scope only',
    async (propagation) => {
      const { transactions, note, sql } = fixture;
      await transactions.run({ timeout: 20_000 }, async () => {
        await transactions.run({ propagation, timeout: 500 }, () => note('a'));
        expect(transactions.current()?.timeLeft).toBeGreaterThan(1_000);
        await sql('SELECT pg_sleep(0.7)');
        await note('b');
      });
      expect(await fixture.notes()).toEqual(['a', 'b']);
    },
  );

  test('of a nested scope that is earlier ends the transaction, naming the scope', async () => {
    const { transactions, note, sql } = fixture;
    const error = await thrownBy(
      transactions.run({ label: 'Outer.method' }, async () => {
        await note('a');
        await transactions.run({ label: 'Inner.method', timeout: 100 }, () => sql('SELECT pg_sleep(30)'));
      }),
    );
    expect(error).toMatchObject({
      ...TIMED_OUT,
      message: expect.stringMatching(/Outer\.method.*100 ms.*Inner\.method/) as string,
    });
  });

  test('of a suspended transaction holds for the one inside it: when the caller hears of it both have ended', async () => {
    const { transactions, note, sql, source } = fixture;
    const error = await thrownBy(
      transactions.run({ label: 'Outer.method', timeout: 500 }, async () => {
        await note('a');
        await transactions.run({ label: 'Inner.method', propagation: 'REQUIRES_NEW' }, async () => {
          await note('b');
          await sql('SELECT pg_sleep(30)');
        });
      }),
    );
    expect(error).toMatchObject(TIMED_OUT);
    expect(source.heldConnections).toBe(0);
    await fixture.database.untilNoTransaction();
    expect(await fixture.notes()).toEqual([]);
  });

  test('is told to the server with BEGIN, as what remains', async () => {
    const { transactions, sql, proxy } = fixture;
    const seen = await proxy.record(() => transactions.run({ timeout: 20_000 }, () => sql('SELECT 1')));
    const [name, value] = (seen.statements[1]?.parameters ?? []) as unknown as string[];
    expect(name).toBe('transaction_timeout');
    expect(Number(value)).toBeLessThanOrEqual(20_000);
    expect(Number(value)).toBeGreaterThan(15_000);
  });

  test('that a nested scope brings is not told to the server for the whole transaction', async () => {
    const { transactions, sql, proxy } = fixture;
    const seen = await proxy.record(() =>
      transactions.run({ timeout: 20_000 }, () => transactions.run({ timeout: 500 }, () => sql('SELECT 1'))),
    );
    expect(Number((seen.statements[1]?.parameters as unknown as string[])[1])).toBeGreaterThan(10_000);
  });
});

describe('the server', () => {
  test('ends an idle transaction by FATAL 25P04, which is the same error', async () => {
    const { transactions, note, proxy } = fixture;
    const seen = await proxy.record(async () => {
      await expect(
        transactions.run({ timeout: 500 }, async () => {
          await note('a');
          blockThread(900);
          await note('b');
        }),
      ).rejects.toMatchObject(TIMED_OUT);
    });
    const errors = seen.statements[0]?.connection.errors.map(({ severity, code }) => `${severity} ${code}`);
    // Whoever comes first, client or server, the caller cannot tell.
    expect(errors?.every((one) => one === 'FATAL 25P04' || one === 'ERROR 57014')).toBe(true);
    expect(await fixture.notes()).toEqual([]);
  });

  test('ends a statement by FATAL 25P04 where the client cannot, which is the same error', async () => {
    const { transactions, sql, proxy } = fixture;
    proxy.clear();
    const work = transactions.run({ timeout: 500 }, async () => {
      await sql('SELECT 1');
      const sleeping = sql('SELECT pg_sleep(30)');
      // What is queued reaches the wire; then nothing happens here until the server has spoken.
      await new Promise((resolve) => setImmediate(resolve));
      await until(() => proxy.sql.includes('SELECT pg_sleep(30)'));
      blockThread(1_000);
      await sleeping;
    });
    await expect(work).rejects.toMatchObject(TIMED_OUT);
  });

  test('with a shorter limit of its own is the same error, and says whose limit it was', async () => {
    const { transactions, sql } = fixture;
    await expect(
      transactions.run({ locals: { transaction_timeout: 100 } }, () => sql('SELECT pg_sleep(30)')),
    ).rejects.toMatchObject({
      ...TIMED_OUT,
      message: expect.stringContaining("the server's transaction_timeout") as string,
    });
  });

  test('before 17 is given statement_timeout, whose expiry is the same error', async () => {
    class Older extends DataSourceConnections {
      override serverVersion(): number {
        return 160_004;
      }
    }
    const dataSource = await new DataSource({ ...fixture.proxy.typeorm, entities: [], poolSize: 2 }).initialize();
    const source = new Database('older', new Older(dataSource));
    const transactions = new TransactionManager();
    transactions.add(source);
    const seen = await fixture.proxy.record(async () => {
      await expect(
        transactions.run({ timeout: 500 }, async () => {
          const transaction = ambientTransaction(source);
          const sleeping = transaction?.run([{ text: 'SELECT pg_sleep(30)' }]);
          await until(() => fixture.proxy.sql.includes('SELECT pg_sleep(30)'));
          blockThread(1_000);
          await sleeping;
        }),
      ).rejects.toMatchObject(TIMED_OUT);
    });
    expect((seen.statements[1]?.parameters as unknown as string[])[0]).toBe('statement_timeout');
    expect(source.heldConnections).toBe(0);
    await dataSource.destroy();
  });

  test('that needs too long for COMMIT itself has not committed: the same error, nothing unknown about it', async () => {
    const { transactions, sql, note } = fixture;
    const ended: string[] = [];
    await expect(
      transactions.run({ timeout: 500 }, async () => {
        transactions.afterCompletion((status) => ended.push(status));
        await note('a');
        await sql('INSERT INTO slow VALUES (1)');
      }),
    ).rejects.toMatchObject(TIMED_OUT);
    expect(ended).toEqual(['rolledBack']);
    await fixture.database.untilNoTransaction();
    expect(await fixture.notes()).toEqual([]);
  });
});

test.each([0, -1, Number.NaN, Infinity])('a timeout of %p is refused [SP-27]', async (timeout) => {
  await expect(fixture.transactions.run({ timeout }, () => undefined)).rejects.toMatchObject({
    code: 'UOW_ILLEGAL_TRANSACTION_STATE',
  });
});

test('a transaction that ends in time leaves no timer and no abort behind', async () => {
  const { transactions, note, sql, proxy } = fixture;
  proxy.clear();
  await transactions.run({ timeout: 500 }, () => note('a'));
  await transactions.run(() => sql('SELECT pg_sleep(0.7)'));
  expect(proxy.cancelRequests).toEqual([]);
  expect(await fixture.notes()).toEqual(['a']);
});
