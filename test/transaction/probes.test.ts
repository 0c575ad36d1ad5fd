import { transactionFixture } from './transaction-fixture.js';
import type { TransactionFixture } from './transaction-fixture.js';
import { Gate, thrownBy, until } from './waiting.js';

/**
 * "Where the others fail": each probe was seen to go wrong in one or more of hand-written pg, TypeORM, typeorm-transactional,
 * nestjs-cls, MikroORM, Drizzle and SQLAlchemy. Rounds are repeated where the others failed only sometimes.
 */

const ROUNDS = 5;
const NESTED = { propagation: 'NESTED' } as const;
const NEW = { propagation: 'REQUIRES_NEW' } as const;

let fixture: TransactionFixture;
beforeAll(async () => {
  fixture = await transactionFixture({ poolSize: 6, options: { acquireTimeout: Infinity } });
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

test('a failed statement is caught inside, and the work returns normally: not reported as success', async () => {
  const { transactions, note } = fixture;
  const reported = await transactions
    .run(async () => {
      await note('a');
      await note('a').catch(() => undefined);
      return 'success';
    })
    .catch((error: unknown) => (error as { code: string }).code);
  expect(reported).toBe('UOW_TRANSACTION_ROLLED_BACK');
  expect(await fixture.notes()).toEqual([]);
});

test('Promise.all: one branch throws, the other goes on writing after the ROLLBACK: no row, here or with the next borrower', async () => {
  for (let round = 0; round < ROUNDS; round += 1) {
    await using single = await transactionFixture({ poolSize: 1 });
    const { transactions, note, proxy } = single;
    const rolledBack = new Gate();
    let other: Promise<unknown> | undefined;
    await thrownBy(
      transactions.run(async () => {
        const goesOn = (async (): Promise<void> => {
          await note('before');
          await rolledBack.pass();
          await note('after');
        })();
        other = thrownBy(goesOn);
        await Promise.all([goesOn, note('one').then(() => Promise.reject(new Error('no')))]);
      }),
    );
    expect(proxy.log.at(-1)).toBe('ROLLBACK => ROLLBACK');
    await transactions.run(async () => {
      await note('next');
      rolledBack.open();
      await other;
    });
    expect(await single.notes()).toEqual(['next']);
  }
});

test('REQUIRED in REQUIRED throws, the outer catches and goes on: the inner half is not committed', async () => {
  const { transactions, note } = fixture;
  await expect(
    transactions.run(async () => {
      await note('outer');
      await transactions
        .run(async () => {
          await note('inner');
          throw new Error('no');
        })
        .catch(() => undefined);
      await note('outer goes on');
    }),
  ).rejects.toMatchObject({ code: 'UOW_UNEXPECTED_ROLLBACK' });
  expect(await fixture.notes()).toEqual([]);
});

test('NESTED is a savepoint: it sees the outer’s rows on the same connection, and goes with the outer’s rollback', async () => {
  const { transactions, note, sql, proxy } = fixture;
  let seen: unknown;
  const recorded = await proxy.record(() =>
    thrownBy(
      transactions.run(async () => {
        await note('outer');
        await transactions.run(NESTED, async () => {
          seen = await sql('SELECT value FROM note');
          await note('inner');
        });
        throw new Error('no');
      }),
    ),
  );
  expect(seen).toEqual([{ value: 'outer' }]);
  expect(recorded.transcripts).toHaveLength(1);
  expect(await fixture.notes()).toEqual([]);
});

test('two NESTED at once, one fails: the good one keeps its rows', async () => {
  const { transactions, note } = fixture;
  for (let round = 0; round < ROUNDS; round += 1) {
    await transactions.run(async () => {
      await Promise.allSettled([
        transactions.run(NESTED, async () => {
          await note(`good ${round}`);
          await note(`good too ${round}`);
        }),
        transactions.run(NESTED, async () => {
          await note(`bad ${round}`);
          throw new Error('no');
        }),
      ]);
    });
  }
  expect(await fixture.notes()).toHaveLength(2 * ROUNDS);
});

test('two REQUIRES_NEW at once below one outer: no row of a call that resolved is lost', async () => {
  const { transactions, note } = fixture;
  for (let round = 0; round < ROUNDS; round += 1) {
    await transactions.run(async () => {
      await note(`outer ${round}`);
      const settled = await Promise.allSettled(
        ['a', 'b'].map((name) => transactions.run(NEW, () => note(`${name} ${round}`))),
      );
      expect(settled.every(({ status }) => status === 'fulfilled')).toBe(true);
    });
  }
  expect(await fixture.notes()).toHaveLength(3 * ROUNDS);
});

test('two outer transactions on a pool of two, each wants REQUIRES_NEW: they do not hang', async () => {
  await using small = await transactionFixture({ poolSize: 2, options: { acquireTimeout: Infinity } });
  const { transactions, note } = small;
  const met = [new Gate(), new Gate()] as const;
  const settled = await Promise.allSettled(
    ([0, 1] as const).map((mine) =>
      transactions.run(async () => {
        await note(`outer ${mine}`);
        void met[mine].pass();
        await met[mine === 0 ? 1 : 0].reached();
        await transactions.run(NEW, () => note(`inner ${mine}`));
      }),
    ),
  );
  expect(settled.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
});

test('the server ends the connection between two statements: an error of the call, the process goes on', async () => {
  const { transactions, note, database, proxy } = fixture;
  await expect(
    transactions.run(async () => {
      await note('a');
      const used = proxy.statements.at(-1)?.connection;
      await database.query('SELECT pg_terminate_backend($1)', [used?.processId]);
      await until(() => used?.closed === true);
      await note('b');
    }),
  ).rejects.toMatchObject({ code: 'UOW_CONNECTION_LOST' });
  await transactions.run(() => note('c'));
  expect(await fixture.notes()).toEqual(['c']);
});

test('BEGIN fails: no connection is lost for good', async () => {
  await using small = await transactionFixture({ poolSize: 1, options: { isolation: 'NONSENSE' } });
  for (let round = 0; round < ROUNDS; round += 1) await thrownBy(small.transactions.run(() => small.note('a')));
  await small.transactions.run({ isolation: 'READ COMMITTED' }, () => small.note('b'));
  expect(await small.notes()).toEqual(['b']);
});
