import { ambientTransaction } from '../../libs/uow/src/transaction/ambient.js';
import { giveOperationsLines } from '../../libs/uow/src/transaction/place.js';
import { controls, transactionFixture } from './transaction-fixture.js';
import type { TransactionFixture } from './transaction-fixture.js';
import { Gate, thrownBy, until } from './waiting.js';

/** Parallel branches take turns; what a scope starts ends with it; what comes later is refused. */

let fixture: TransactionFixture;
let processWarnings: string[] = [];
const onWarning = (warning: Error & { code?: string }): void => {
  processWarnings.push(warning.message);
};
beforeAll(async () => {
  process.on('warning', onWarning);
  fixture = await transactionFixture({ poolSize: 4, options: { stallAfter: 300 } });
});
afterAll(async () => {
  process.off('warning', onWarning);
  await fixture.close();
});
beforeEach(async () => {
  await fixture.database.query('TRUNCATE note');
  fixture.warnings.length = 0;
  processWarnings = [];
});
afterEach(async () => {
  expect(fixture.source.heldConnections).toBe(0);
  await new Promise((resolve) => setImmediate(resolve));
  expect(processWarnings).toEqual([]);
  await fixture.database.untilNoTransaction();
});

describe('branches of a Promise.all', () => {
  test('take turns on the connection: never two statements at once', async () => {
    const { transactions, note, sql, proxy } = fixture;
    const seen = await proxy.record(() =>
      transactions.run(async () => {
        await Promise.all(['a', 'b', 'c'].flatMap((value) => [note(value), sql('SELECT pg_sleep(0.01)')]));
      }),
    );
    // BEGIN goes with the first; each of the six, and COMMIT, is a round trip of its own.
    expect(seen.roundTrips).toBe(7);
    expect(seen.transcripts).toHaveLength(1);
    expect(await fixture.notes()).toEqual(['a', 'b', 'c']);
  });

  test('one throws: the others’ running statement is waited for, and nothing of them stays', async () => {
    const { transactions, note, sql, proxy } = fixture;
    const error = new Error('no');
    const strays: Promise<unknown>[] = [];
    const seen = await proxy.record(async () => {
      await expect(
        transactions.run(async () => {
          await note('a');
          const branch = (async (): Promise<void> => {
            await sql('SELECT pg_sleep(0.05)');
            await note('b');
          })();
          strays.push(thrownBy(branch));
          await Promise.all([branch, Promise.reject(error)]);
        }),
      ).rejects.toBe(error);
    });
    expect(controls(seen.sql)).toEqual(['BEGIN', 'write', 'SELECT pg_sleep(0.05)', 'ROLLBACK']);
    expect(await Promise.all(strays)).toMatchObject([{ code: 'UOW_TRANSACTION_CLOSED' }]);
    expect(await fixture.notes()).toEqual([]);
  });
});

describe('sibling NESTED scopes', () => {
  test('take turns, and one’s rollback takes only its own rows', async () => {
    const { transactions, note, proxy } = fixture;
    const nested = (name: string, fails: boolean): Promise<void> =>
      transactions.run({ propagation: 'NESTED' }, async () => {
        await note(`${name}1`);
        await new Promise((resolve) => setImmediate(resolve));
        await note(`${name}2`);
        if (fails) throw new Error(name);
      });
    let settled: PromiseSettledResult<void>[] = [];
    const seen = await proxy.record(() =>
      transactions.run(async () => {
        settled = await Promise.allSettled([nested('a', false), nested('b', true), nested('c', false)]);
      }),
    );
    expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(await fixture.notes()).toEqual(['a1', 'a2', 'c1', 'c2']);
    // One after the other: never a SAVEPOINT inside a sibling's.
    expect(seen.sql.filter((text) => text.includes('SAVEPOINT')).every((text) => text.endsWith('uow_1'))).toBe(true);
  });

  test('make the parent’s other branches wait, so that a rollback never takes those along', async () => {
    const { transactions, note } = fixture;
    const gate = new Gate();
    await transactions.run(async () => {
      const nested = transactions.run({ propagation: 'NESTED' }, async () => {
        await note('nested');
        await gate.pass();
        throw new Error('no');
      });
      await gate.reached();
      const beside = note('beside');
      gate.open();
      await thrownBy(nested);
      await beside;
    });
    expect(await fixture.notes()).toEqual(['beside']);
  });

  test('also when they are deep and joined scopes lie between', async () => {
    const { transactions, note } = fixture;
    const branch = (name: string): Promise<void> =>
      transactions.run(() =>
        transactions.run({ propagation: 'NESTED' }, async () => {
          await note(`${name} outer`);
          await thrownBy(
            transactions.run({ propagation: 'NESTED' }, async () => {
              await note(`${name} inner`);
              throw new Error('no');
            }),
          );
        }),
      );
    await transactions.run(() => Promise.all([branch('a'), branch('b')]));
    expect(await fixture.notes()).toEqual(['a outer', 'b outer']);
  });
});

describe('work that comes after the end of its scope', () => {
  test('is refused with TransactionClosedError naming the method, and never reaches the next borrower', async () => {
    await using single = await transactionFixture({ poolSize: 1 });
    const { transactions, note, proxy } = single;
    const gate = new Gate();
    let stray: Promise<unknown> | undefined;
    await expect(
      transactions.run({ label: 'Orders.place' }, async () => {
        await note('a');
        stray = thrownBy(
          (async () => {
            await gate.pass();
            await note('stray');
          })(),
        );
        throw new Error('no');
      }),
    ).rejects.toThrow('no');
    // The barrier: ROLLBACK has been answered, and the connection is inside the next borrower's transaction.
    expect(proxy.log.at(-1)).toBe('ROLLBACK => ROLLBACK');
    await transactions.run(async () => {
      await note('next');
      gate.open();
      expect(await stray).toMatchObject({
        code: 'UOW_TRANSACTION_CLOSED',
        message: expect.stringContaining('Orders.place') as string,
      });
    });
    expect(await single.notes()).toEqual(['next']);
  });

  test('through a transaction that it kept hold of is refused too', async () => {
    const { transactions, note, source } = fixture;
    let kept: ReturnType<typeof ambientTransaction> = null;
    await transactions.run(async () => {
      await note('a');
      kept = ambientTransaction(source);
    });
    const transaction = kept as unknown as NonNullable<ReturnType<typeof ambientTransaction>>;
    await expect(transaction.run([{ text: 'SELECT 1' }])).rejects.toMatchObject({ code: 'UOW_TRANSACTION_CLOSED' });
    await expect(transaction.runJoined('SELECT 1')).rejects.toMatchObject({ code: 'UOW_TRANSACTION_CLOSED' });
    await expect(transaction.openSavepoint('late')).rejects.toMatchObject({ code: 'UOW_TRANSACTION_CLOSED' });
  });

  test('is refused where it opens a transactional scope', async () => {
    const { transactions, note } = fixture;
    const gate = new Gate();
    let stray: Promise<unknown> | undefined;
    await transactions.run({ label: 'Orders.place' }, async () => {
      await note('a');
      stray = thrownBy(gate.pass().then(() => transactions.run(() => note('stray'))));
    });
    gate.open();
    expect(await stray).toMatchObject({
      code: 'UOW_TRANSACTION_CLOSED',
      message: expect.stringContaining('Orders.place') as string,
    });
    expect(await fixture.notes()).toEqual(['a']);
  });

  test('of a joined scope is refused although the transaction is still open', async () => {
    const { transactions, note } = fixture;
    const gate = new Gate();
    await transactions.run(async () => {
      let stray: Promise<unknown> | undefined;
      await transactions.run({ label: 'Audit.write' }, () => {
        stray = thrownBy(gate.pass().then(() => note('stray')));
      });
      gate.open();
      expect(await stray).toMatchObject({ message: expect.stringContaining('Audit.write') as string });
      await note('a');
    });
    expect(await fixture.notes()).toEqual(['a']);
  });

  test('that was detached runs apart, outside the transaction', async () => {
    const { transactions, note } = fixture;
    let apart: Promise<unknown> | undefined;
    await thrownBy(
      transactions.run(async () => {
        await note('a');
        apart = transactions.detach(() => transactions.run(() => note('apart')));
        throw new Error('no');
      }),
    );
    await apart;
    expect(await fixture.notes()).toEqual(['apart']);
  });
});

describe('work that is not awaited', () => {
  test('rolls back, and UnawaitedWorkError names the place that started it', async () => {
    const { transactions, note } = fixture;
    const error = await thrownBy(
      transactions.run({ label: 'Orders.place' }, async () => {
        await note('a');
        void note('forgotten');
      }),
    );
    expect(error).toMatchObject({
      code: 'UOW_UNAWAITED_WORK',
      message: expect.stringMatching(
        /Orders\.place.*structured-concurrency\.test\.ts|Orders\.place.*transaction-fixture\.ts/,
      ) as string,
    });
    expect(await fixture.notes()).toEqual([]);
  });

  test('in production is named with its line from the second message of a process on', async () => {
    const { transactions, note } = fixture;
    const before = giveOperationsLines(false);
    try {
      const message = async (): Promise<string> => {
        const error = await thrownBy(
          transactions.run({ label: 'Orders.place' }, () => {
            void note('forgotten');
          }),
        );
        return (error as unknown as Error).message;
      };
      expect(await message()).not.toContain('.ts:');
      expect(await message()).toContain('.ts:');
    } finally {
      giveOperationsLines(before);
    }
  });

  test('that is a transactional call is named with its place', async () => {
    const { transactions, note } = fixture;
    const error = await thrownBy(
      transactions.run({ label: 'Orders.place' }, () => {
        void transactions.run({ label: 'Audit.write', propagation: 'REQUIRES_NEW' }, () => note('forgotten'));
      }),
    );
    expect(error).toMatchObject({
      code: 'UOW_UNAWAITED_WORK',
      message: expect.stringMatching(/Audit\.write \(.*structured-concurrency\.test\.ts/) as string,
    });
    // It was waited for: what it did in a transaction of its own is done.
    expect(await fixture.notes()).toEqual(['forgotten']);
  });

  test('of a joined scope marks its owner', async () => {
    const { transactions, note } = fixture;
    const error = await thrownBy(
      transactions.run(async () => {
        await note('a');
        await thrownBy(
          transactions.run({ label: 'Audit.write' }, () => {
            void note('forgotten');
          }),
        );
      }),
    );
    expect(error).toMatchObject({ code: 'UOW_UNEXPECTED_ROLLBACK', cause: { code: 'UOW_UNAWAITED_WORK' } });
    expect(await fixture.notes()).toEqual([]);
  });

  test('of a nested scope rolls back that scope only', async () => {
    const { transactions, note } = fixture;
    await transactions.run(async () => {
      await note('a');
      const error = await thrownBy(
        transactions.run({ propagation: 'NESTED' }, () => {
          void note('forgotten');
        }),
      );
      expect(error).toMatchObject({ code: 'UOW_UNAWAITED_WORK' });
    });
    expect(await fixture.notes()).toEqual(['a']);
  });

  test('rolls back also where the function threw an error that does not, and that error is thrown', async () => {
    const { transactions, note } = fixture;
    class Told extends Error {}
    await expect(
      transactions.run({ noRollbackFor: Told }, () => {
        void note('forgotten');
        throw new Told();
      }),
    ).rejects.toBeInstanceOf(Told);
    expect(await fixture.notes()).toEqual([]);
  });

  test('is committed with a warning under unawaited: warn', async () => {
    await using lax = await transactionFixture({ options: { unawaited: 'warn' } });
    await lax.transactions.run(() => {
      void lax.note('forgotten');
    });
    expect(await lax.notes()).toEqual(['forgotten']);
    expect(lax.warnings).toMatchObject([{ code: 'UOW_WARN_UNAWAITED_WORK', error: { code: 'UOW_UNAWAITED_WORK' } }]);
  });
});

describe('scopes that wait for each other', () => {
  test('a sibling behind a silent nested scope gets ScopeStalledError with both places', async () => {
    const { transactions, note } = fixture;
    const gate = new Gate();
    const error = await thrownBy(
      transactions.run({ label: 'Orders.place' }, async () => {
        const nested = transactions.run({ propagation: 'NESTED', label: 'Audit.write' }, async () => {
          await note('nested');
          await gate.pass();
        });
        await gate.reached();
        try {
          // The nested scope would go on only after this statement, which waits for the nested scope.
          await note('beside');
        } finally {
          gate.open();
          await nested;
        }
      }),
    );
    expect(error).toMatchObject({
      code: 'UOW_SCOPE_STALLED',
      message: expect.stringMatching(/a statement.*waits for Audit\.write \(.*structured-concurrency/) as string,
    });
    expect(await fixture.notes()).toEqual([]);
  });

  test('a nested scope that is busy is no silent one', async () => {
    const { transactions, note, sql } = fixture;
    await transactions.run(async () => {
      await Promise.all([
        transactions.run({ propagation: 'NESTED' }, async () => {
          await note('nested');
          await sql('SELECT pg_sleep(0.8)');
        }),
        note('beside'),
      ]);
    });
    expect(await fixture.notes()).toEqual(['beside', 'nested']);
  });

  test('a root scope that waits for another of its context which waits for it gets ScopeStalledError with both', async () => {
    const { transactions, note } = fixture;
    await transactions.runInContext('POST /orders', async () => {
      const gate = new Gate();
      const first = transactions.run({ label: 'Orders.place' }, async () => {
        await note('first');
        await gate.pass();
      });
      await gate.reached();
      const error = await thrownBy(transactions.run({ label: 'Orders.bill' }, () => note('second')));
      expect(error).toMatchObject({
        code: 'UOW_SCOPE_STALLED',
        message: expect.stringMatching(/Orders\.bill.*Orders\.place.*POST \/orders/) as string,
      });
      gate.open();
      await first;
    });
    expect(await fixture.notes()).toEqual(['first']);
  });
});

describe('root scopes of one context', () => {
  test('run one after the other', async () => {
    const { transactions, note, proxy } = fixture;
    const seen = await proxy.record(() =>
      transactions.runInContext('POST /orders', () =>
        Promise.all(
          ['a', 'b', 'c'].map((value) =>
            transactions.run(async () => {
              await note(`${value}1`);
              await note(`${value}2`);
            }),
          ),
        ),
      ),
    );
    const one = ['BEGIN', 'write', 'write', 'COMMIT'];
    expect(controls(seen.sql)).toEqual([...one, ...one, ...one]);
  });

  test('do not hold up REQUIRES_NEW', async () => {
    const { transactions, note } = fixture;
    await transactions.runInContext('POST /orders', async () => {
      const gate = new Gate();
      const first = transactions.run(async () => {
        await note('first');
        await gate.pass();
      });
      await gate.reached();
      await transactions.run({ propagation: 'REQUIRES_NEW' }, () => note('second'));
      expect(await fixture.notes()).toEqual(['second']);
      gate.open();
      await first;
    });
  });

  test('of different contexts run side by side', async () => {
    const { transactions, note, proxy } = fixture;
    proxy.clear();
    const gates = [new Gate(), new Gate()];
    const work = gates.map((gate, index) =>
      transactions.run(async () => {
        await note(String(index));
        await gate.pass();
      }),
    );
    await until(() => proxy.openTransactions === 2);
    for (const gate of gates) gate.open();
    await Promise.all(work);
  });
});

describe('exclusive()', () => {
  test('lets nothing of other branches in between, and runs what it starts itself', async () => {
    const { transactions, note, source, proxy } = fixture;
    const seen = await proxy.record(() =>
      transactions.run(async () => {
        const transaction = ambientTransaction(source) as NonNullable<ReturnType<typeof ambientTransaction>>;
        await Promise.all([
          transaction.exclusive('a flush', async () => {
            await note('1');
            await new Promise((resolve) => setImmediate(resolve));
            await transactions.run({ propagation: 'NESTED' }, () => note('2'));
            await Promise.all([note('3'), note('4')]);
          }),
          note('beside'),
        ]);
      }),
    );
    const written = seen.statements
      .filter(({ sql }) => sql.startsWith('INSERT'))
      .map(({ parameters }) => (parameters as unknown as string[])[0]);
    expect(written).toEqual(['1', '2', '3', '4', 'beside']);
  });
});
