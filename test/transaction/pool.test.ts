import { transactionFixture } from './transaction-fixture.js';
import type { TransactionFixture } from './transaction-fixture.js';
import { Gate, thrownBy, until } from './waiting.js';

/** A connection that can never come is refused at once, with who holds them all. */

const EXHAUSTED = { code: 'UOW_POOL_EXHAUSTED' };
const NEW = { propagation: 'REQUIRES_NEW' } as const;

let fixture: TransactionFixture;
beforeAll(async () => {
  fixture = await transactionFixture({ poolSize: 2, options: { acquireTimeout: Infinity } });
});
afterAll(async () => {
  await fixture.close();
});
beforeEach(async () => {
  await fixture.database.query('TRUNCATE note');
});
afterEach(() => {
  expect(fixture.source.heldConnections).toBe(0);
});

describe('two outer transactions on a pool of two that each want REQUIRES_NEW', () => {
  test('do not hang without any time limit: one is refused at once, the other goes through', async () => {
    const { transactions, note } = fixture;
    const met = [new Gate(), new Gate()] as const;
    const outer = (mine: 0 | 1): Promise<void> =>
      transactions.run({ label: `Outer${mine}.run` }, async () => {
        await note(`outer ${mine}`);
        void met[mine].pass();
        await met[mine === 0 ? 1 : 0].reached();
        await transactions.run({ ...NEW, label: `Inner${mine}.run` }, () => note(`inner ${mine}`));
      });
    const settled = await Promise.allSettled([outer(0), outer(1)]);
    const refused = settled.filter((one) => one.status === 'rejected');
    expect(refused).toHaveLength(1);
    const error = refused[0]?.reason as { holders: { label: string; waiting: boolean; lastStatement: string }[] };
    expect(error).toMatchObject({ ...EXHAUSTED, message: expect.stringMatching(/pool of 2.*itself waits/) as string });
    expect(error.holders.map(({ label }) => label).sort()).toEqual(['Outer0.run', 'Outer1.run']);
    expect(error.holders.every(({ waiting, lastStatement }) => waiting && lastStatement.startsWith('INSERT'))).toBe(
      true,
    );
    expect(await fixture.notes()).toHaveLength(2);
  });

  test('one of them merely working: the wait goes on, and both go through', async () => {
    const { transactions, note } = fixture;
    const gate = new Gate();
    const working = transactions.run(async () => {
      await note('working');
      await gate.pass();
    });
    await gate.reached();
    const outer = transactions.run(async () => {
      await note('outer');
      const inner = transactions.run(NEW, () => note('inner'));
      setImmediate(() => {
        gate.open();
      });
      await inner;
    });
    await Promise.all([working, outer]);
    expect(await fixture.notes()).toEqual(['inner', 'outer', 'working']);
  });
});

test('two REQUIRES_NEW at once below one outer both resolve and both stay', async () => {
  const { transactions, note } = fixture;
  await transactions.run(async () => {
    await note('outer');
    await Promise.all([transactions.run(NEW, () => note('a')), transactions.run(NEW, () => note('b'))]);
  });
  expect(await fixture.notes()).toEqual(['a', 'b', 'outer']);
});

test('REQUIRES_NEW three deep on a pool of two is refused, and everything outside it rolls back [SP-04]', async () => {
  const { transactions, note } = fixture;
  const deep = (depth: number): Promise<void> =>
    transactions.run(NEW, async () => {
      await note(`level ${depth}`);
      if (depth < 3) await deep(depth + 1);
    });
  await expect(deep(1)).rejects.toMatchObject(EXHAUSTED);
  expect(await fixture.notes()).toEqual([]);
});

test('a REQUIRES_NEW that gets no connection leaves the outer one usable [SP-04]', async () => {
  await using single = await transactionFixture({ poolSize: 1, options: { acquireTimeout: Infinity } });
  await single.transactions.run(async () => {
    await single.note('outer');
    await expect(single.transactions.run(NEW, () => single.note('inner'))).rejects.toMatchObject(EXHAUSTED);
    expect(single.transactions.current()).toMatchObject({ isTransactional: true });
    await single.note('outer goes on');
  });
  expect(await single.notes()).toEqual(['outer', 'outer goes on']);
});

test('a read in NOT_SUPPORTED inside the only connection’s transaction is refused too', async () => {
  await using single = await transactionFixture({ poolSize: 1, options: { acquireTimeout: Infinity } });
  await single.transactions.run(async () => {
    await single.note('outer');
    await expect(
      single.transactions.run({ propagation: 'NOT_SUPPORTED' }, () => single.sql('SELECT 1')),
    ).rejects.toMatchObject(EXHAUSTED);
  });
});

test('a transaction in an afterCommit hook counts the suspended one that holds the last connection', async () => {
  await using single = await transactionFixture({ poolSize: 2, options: { acquireTimeout: Infinity } });
  const { transactions, note } = single;
  const error = await thrownBy(
    transactions.run({ label: 'Outer.run' }, async () => {
      await note('outer');
      await transactions.run({ ...NEW, label: 'Inner.run' }, async () => {
        await note('inner');
        transactions.afterCommit(async () => {
          await transactions.run({ label: 'Hook.run' }, async () => {
            await note('hook');
            await transactions.run(NEW, () => note('too deep'));
          });
        });
      });
    }),
  );
  expect(error).toMatchObject({ code: 'UOW_AFTER_COMMIT', cause: EXHAUSTED });
  expect(await single.notes()).toEqual(['inner']);
});

test('acquireTimeout refuses with the same picture', async () => {
  await using small = await transactionFixture({ poolSize: 1, options: { acquireTimeout: 100 } });
  const { transactions, note } = small;
  const gate = new Gate();
  const holder = transactions.run({ label: 'Report.build' }, async () => {
    await note('a');
    await gate.pass();
  });
  await gate.reached();
  const error = await thrownBy(transactions.run({ label: 'Orders.place' }, () => note('b')));
  gate.open();
  await holder;
  expect(error).toMatchObject({
    ...EXHAUSTED,
    message: expect.stringMatching(
      /Orders\.place got no connection.*100 ms(.|\n)*Report\.build, for \d+ ms: INSERT/,
    ) as string,
    holders: [{ label: 'Report.build', waiting: false }],
  });
});

test('a pool with a time limit of its own gives the same error', async () => {
  // Long enough for a busy machine to open the one connection.
  await using small = await transactionFixture({ poolSize: 1, extra: { connectionTimeoutMillis: 2_000 } });
  const { transactions, note } = small;
  const gate = new Gate();
  const holder = transactions.run(async () => {
    await note('a');
    await gate.pass();
  });
  await gate.reached();
  await expect(transactions.run(() => note('b'))).rejects.toMatchObject(EXHAUSTED);
  gate.open();
  await holder;
});

test('whoever was refused costs the pool nothing: later work finds all connections', async () => {
  await using small = await transactionFixture({ poolSize: 2, options: { acquireTimeout: 50 } });
  const { transactions, note, source, dataSource } = small;
  // Both are open beforehand: on a busy machine it takes longer than the holders may wait.
  await Promise.all([1, 2].map(() => dataSource.query('SELECT pg_sleep(0.05)')));
  const gates = [new Gate(), new Gate()];
  const holders = gates.map((gate, index) =>
    transactions.run(async () => {
      await note(`holder ${index}`);
      await gate.pass();
    }),
  );
  await until(() => source.heldConnections === 2);
  await Promise.all([1, 2, 3].map((n) => thrownBy(transactions.run(() => note(`refused ${n}`)))));
  for (const gate of gates) gate.open();
  await Promise.all(holders);
  await Promise.all([1, 2].map((n) => transactions.run(() => note(`later ${n}`))));
  expect(await small.notes()).toEqual(['holder 0', 'holder 1', 'later 1', 'later 2']);
});

test('a connection that other code gave back inside a transaction is destroyed, and reported', async () => {
  await using single = await transactionFixture({ poolSize: 1 });
  const { transactions, note, warnings, dataSource } = single;
  await transactions.run(() => note('a'));
  const runner = dataSource.createQueryRunner();
  await runner.query('BEGIN');
  await runner.query("INSERT INTO note VALUES ('theirs')");
  await runner.release();
  await transactions.run(() => note('ours'));
  expect(warnings).toMatchObject([{ code: 'UOW_WARN_CONNECTION_NOT_IDLE' }]);
  expect(await single.notes()).toEqual(['a', 'ours']);
});

test('a server that cannot be reached is ConnectionLostError, told at once', async () => {
  await using away = await transactionFixture();
  await away.transactions.run(() => away.note('a'));
  away.proxy.refuse('close');
  away.proxy.cutNow();
  await until(() => away.proxy.openConnections.length === 0);
  await expect(away.transactions.run(() => away.note('b'))).rejects.toMatchObject({ code: 'UOW_CONNECTION_LOST' });
  away.proxy.refuse({ code: '53300', message: 'too many clients already' });
  await expect(away.transactions.run(() => away.note('c'))).rejects.toMatchObject({ sqlState: '53300' });
  away.proxy.refuse(undefined);
  await away.transactions.run(() => away.note('d'));
  expect(await away.notes()).toEqual(['a', 'd']);
});
