import { transactionFixture } from './transaction-fixture.js';
import type { TransactionFixture } from './transaction-fixture.js';
import { Gate, thrownBy } from './waiting.js';

/** The root is run again where that may help, afresh each time, and never where work may be stored. */

const AT_ONCE = { attempts: 3, backoff: 0 } as const;

let fixture: TransactionFixture;
beforeAll(async () => {
  fixture = await transactionFixture({
    schema: `CREATE TABLE counter (id int PRIMARY KEY, value int);
             CREATE FUNCTION fail(state text) RETURNS void LANGUAGE plpgsql AS
               $$ BEGIN RAISE EXCEPTION 'made to fail' USING ERRCODE = state; END $$;
             CREATE TABLE late (id int);
             CREATE FUNCTION fail_late() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN IF NEW.id = 1 THEN RAISE EXCEPTION 'late' USING ERRCODE = '40001'; END IF; RETURN NULL; END $$;
             CREATE CONSTRAINT TRIGGER fail_late AFTER INSERT ON late DEFERRABLE INITIALLY DEFERRED
               FOR EACH ROW EXECUTE FUNCTION fail_late();`,
  });
});
afterAll(async () => {
  await fixture.close();
});
beforeEach(async () => {
  await fixture.database.query('TRUNCATE note, counter; INSERT INTO counter VALUES (1, 0), (2, 0)');
});

/** Fails in the first attempts with the given SQLSTATE. */
const failing = (state: string, times = 1): (() => Promise<string>) => {
  let left = times;
  return async () => {
    await fixture.note(`attempt ${String(fixture.transactions.current()?.attempt)}`);
    if ((left -= 1) >= 0) await fixture.sql('SELECT fail($1)', [state]);
    return 'done';
  };
};

test.each(['40001', '40P01'])(
  '%s runs the root again, in a fresh transaction; the attempt can be seen',
  async (state) => {
    const { transactions, proxy } = fixture;
    const seen = await proxy.record(async () => {
      expect(await transactions.run({ retry: AT_ONCE }, failing(state, 2))).toBe('done');
    });
    expect(seen.sql.filter((text) => /^(BEGIN|ROLLBACK|COMMIT)/.test(text))).toEqual([
      'BEGIN',
      'ROLLBACK',
      'BEGIN',
      'ROLLBACK',
      'BEGIN',
      'COMMIT',
    ]);
    expect(await fixture.notes()).toEqual(['attempt 3']);
  },
);

test.each(['23505', '22012', '55P03', 'P0001'])('%s does not', async (state) => {
  const { transactions } = fixture;
  await expect(transactions.run({ retry: AT_ONCE }, failing(state))).rejects.toMatchObject({ sqlState: state });
  expect(await fixture.notes()).toEqual([]);
});

test('attempts are counted with the first, and the last error is thrown', async () => {
  const { transactions } = fixture;
  let runs = 0;
  await expect(
    transactions.run({ retry: AT_ONCE }, async () => {
      runs += 1;
      await failing('40001', 9)();
    }),
  ).rejects.toMatchObject({ code: 'UOW_SERIALIZATION_FAILURE' });
  expect(runs).toBe(3);
});

test('without the option nothing is run again', async () => {
  await expect(fixture.transactions.run(failing('40001'))).rejects.toMatchObject({ code: 'UOW_SERIALIZATION_FAILURE' });
});

test('a refusal of COMMIT itself is a known abort, and runs it again', async () => {
  const { transactions, sql } = fixture;
  let id = 0;
  await transactions.run({ retry: AT_ONCE }, () => sql('INSERT INTO late VALUES ($1)', [(id += 1)]));
  expect(await fixture.database.query('SELECT id FROM late')).toEqual([{ id: 2 }]);
});

test('an error that wraps a serialization failure runs it again', async () => {
  const { transactions } = fixture;
  const inner = failing('40001');
  const value = await transactions.run({ retry: AT_ONCE }, () =>
    inner().catch((cause: unknown) => {
      throw new Error('the repository failed', { cause });
    }),
  );
  expect(value).toBe('done');
});

test('a serialization failure that was swallowed inside runs it again', async () => {
  const { transactions } = fixture;
  const inner = failing('40001');
  await transactions.run({ retry: AT_ONCE }, () => inner().catch(() => undefined));
  expect(await fixture.notes()).toEqual(['attempt 2']);
});

test('two real transactions that deadlock both get through', async () => {
  const { transactions, sql } = fixture;
  const met = [new Gate(), new Gate()] as const;
  const attempts: number[] = [];
  const cross = (mine: 0 | 1): Promise<void> =>
    transactions.run({ retry: AT_ONCE }, async () => {
      attempts.push(transactions.current()?.attempt ?? 0);
      await sql('UPDATE counter SET value = value + 1 WHERE id = $1', [mine + 1]);
      void met[mine].pass();
      await met[mine === 0 ? 1 : 0].reached();
      await sql('UPDATE counter SET value = value + 1 WHERE id = $1', [2 - mine]);
    });
  await Promise.all([cross(0), cross(1)]);
  expect(attempts.sort()).toEqual([1, 1, 2]);
  expect(await fixture.database.query('SELECT value FROM counter ORDER BY id')).toEqual([{ value: 2 }, { value: 2 }]);
});

test('afterCommit hooks of failed attempts are thrown away; their rollback hooks run with their rollback', async () => {
  const { transactions } = fixture;
  const ran: string[] = [];
  const inner = failing('40001');
  await transactions.run({ retry: AT_ONCE }, async () => {
    const attempt = String(transactions.current()?.attempt);
    transactions.afterCommit(() => ran.push(`committed ${attempt}`));
    transactions.afterRollback(() => ran.push(`rolled back ${attempt}`));
    await inner();
  });
  expect(ran).toEqual(['rolled back 1', 'committed 2']);
});

test('an afterCommit hook that fails with a serialization failure runs nothing again: the work is committed', async () => {
  const { transactions, note, sql } = fixture;
  let runs = 0;
  const error = await thrownBy(
    transactions.run({ retry: AT_ONCE }, async () => {
      runs += 1;
      await note(`run ${runs}`);
      transactions.afterCommit(() => transactions.run(() => sql(`SELECT fail('40001')`)));
    }),
  );
  expect(error).toMatchObject({ code: 'UOW_AFTER_COMMIT', cause: { code: 'UOW_SERIALIZATION_FAILURE' } });
  expect(runs).toBe(1);
});

test('`on` says what is worth another attempt: classes and predicates', async () => {
  class Busy extends Error {}
  const { transactions } = fixture;
  let runs = 0;
  const work = (retry: object): Promise<string> => {
    runs = 0;
    return transactions.run({ retry: { ...AT_ONCE, ...retry } }, () => {
      runs += 1;
      if (runs < 3) throw new Busy('busy');
      return 'done';
    });
  };
  expect(await work({ on: Busy })).toBe('done');
  expect(await work({ on: [TypeError, (error: unknown) => (error as Error).message === 'busy'] })).toBe('done');
  await expect(work({ on: TypeError })).rejects.toBeInstanceOf(Busy);
  expect(runs).toBe(1);
});

test('`on` cannot ask for what may be stored already to be done again', async () => {
  const { transactions, note, sql } = fixture;
  let runs = 0;
  await expect(
    transactions.run({ retry: { ...AT_ONCE, on: Error } }, async () => {
      runs += 1;
      await note(`run ${runs}`);
      await sql('COMMIT');
    }),
  ).rejects.toMatchObject({ code: 'UOW_TRANSACTION_ENDED_OUTSIDE' });
  expect(await fixture.notes()).toEqual(['run 1']);
});

test('an error of the application that merely calls itself retryable does not', async () => {
  const { transactions } = fixture;
  let runs = 0;
  await thrownBy(
    transactions.run({ retry: AT_ONCE }, () => {
      runs += 1;
      throw Object.assign(new Error('throttled'), { retryable: true });
    }),
  );
  expect(runs).toBe(1);
});

test('backoff is asked for the attempt to come', async () => {
  const asked: number[] = [];
  await thrownBy(
    fixture.transactions.run(
      {
        retry: {
          attempts: 3,
          backoff: (attempt) => {
            asked.push(attempt);
            return 0;
          },
        },
      },
      failing('40001', 9),
    ),
  );
  expect(asked).toEqual([2, 3]);
});

test('no attempt begins that the deadline would end before', async () => {
  let runs = 0;
  await expect(
    fixture.transactions.run({ timeout: 20_000, retry: { attempts: 3, backoff: 60_000 } }, async () => {
      runs += 1;
      await failing('40001')();
    }),
  ).rejects.toMatchObject({ code: 'UOW_SERIALIZATION_FAILURE' });
  expect(runs).toBe(1);
});

test('an aborted signal ends the pause, with the last error', async () => {
  const controller = new AbortController();
  const work = fixture.transactions.run(
    {
      signal: controller.signal,
      retry: {
        attempts: 2,
        backoff: () => (
          setImmediate(() => {
            controller.abort();
          }),
          60_000
        ),
      },
    },
    failing('40001'),
  );
  await expect(work).rejects.toMatchObject({ code: 'UOW_SERIALIZATION_FAILURE' });
});

test('an inner REQUIRES_NEW retries by itself, and the outer one is not run again', async () => {
  const { transactions, note } = fixture;
  let outers = 0;
  await transactions.run({ retry: AT_ONCE }, async () => {
    outers += 1;
    await note('outer');
    await transactions.run({ propagation: 'REQUIRES_NEW', retry: AT_ONCE }, failing('40001'));
  });
  expect(outers).toBe(1);
  expect(await fixture.notes()).toEqual(['attempt 2', 'outer']);
});
