import { ambientContext, ambientTransaction } from '../../libs/uow/src/transaction/ambient.js';
import { commitTransaction, rollbackTransaction } from '../../libs/uow/src/transaction/completion.js';
import { rollbackScopeByHand } from '../../libs/uow/src/transaction/transaction-manager.js';
import { controls, transactionFixture } from './transaction-fixture.js';
import type { TransactionFixture } from './transaction-fixture.js';
import { thrownBy } from './waiting.js';

/** What rollback() does inside declared scopes, savepoints by hand, and transactions that were begun by hand. */

const CLOSED = { code: 'UOW_TRANSACTION_CLOSED' };

let fixture: TransactionFixture;
beforeAll(async () => {
  fixture = await transactionFixture();
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

const context = (): NonNullable<ReturnType<typeof ambientContext>> => {
  const found = ambientContext(fixture.source);
  if (found === null) throw new Error('outside');
  return found;
};
const transaction = (): NonNullable<ReturnType<typeof ambientTransaction>> => {
  const found = ambientTransaction(fixture.source);
  if (found === null) throw new Error('outside');
  return found;
};
const rollBack = (): Promise<boolean> => rollbackScopeByHand(context(), 'session.rollback()');

describe('rollback() in a declared scope', () => {
  test('of the owner rolls back at once; the value is returned; later work is refused', async () => {
    const { transactions, note, proxy } = fixture;
    let value: unknown;
    const seen = await proxy.record(async () => {
      value = await transactions.run(async () => {
        await note('a');
        await rollBack();
        expect(proxy.sql.at(-1)).toBe('ROLLBACK');
        expect(await thrownBy(note('b'))).toMatchObject(CLOSED);
        expect(await thrownBy(rollBack())).toMatchObject(CLOSED);
        expect(await thrownBy(transactions.run(() => note('c')))).toMatchObject(CLOSED);
        return 7;
      });
    });
    expect(value).toBe(7);
    expect(controls(seen.sql)).toEqual(['BEGIN', 'write', 'ROLLBACK']);
  });

  test('that joined ends normally, and makes the owner’s normal return an UnexpectedRollbackError', async () => {
    const { transactions, note } = fixture;
    const error = await thrownBy(
      transactions.run(async () => {
        await note('a');
        await transactions.run({ label: 'Limits.check' }, async () => {
          await rollBack();
        });
        expect(await thrownBy(note('b'))).toMatchObject(CLOSED);
      }),
    );
    expect(error).toMatchObject({ code: 'UOW_UNEXPECTED_ROLLBACK', markedBy: 'Limits.check' });
    expect(await fixture.notes()).toEqual([]);
  });

  test('of a nested scope rolls back to its savepoint only', async () => {
    const { transactions, note } = fixture;
    await transactions.run(async () => {
      await note('a');
      const value = await transactions.run({ propagation: 'NESTED' }, async () => {
        await note('b');
        await rollBack();
        return 'returned';
      });
      expect(value).toBe('returned');
      await note('c');
    });
    expect(await fixture.notes()).toEqual(['a', 'c']);
  });

  test('of a nested scope refuses later work in it, also of scopes that joined it', async () => {
    const { transactions, note } = fixture;
    await transactions.run(async () => {
      await note('a');
      await thrownBy(
        transactions.run({ propagation: 'NESTED' }, async () => {
          await transactions.run({ label: 'Joined.method' }, async () => {
            await note('b');
            await rollBack();
            // It would run outside the savepoint, which is gone.
            expect(await thrownBy(note('c'))).toMatchObject(CLOSED);
          });
        }),
      );
      await note('d');
    });
    expect(await fixture.notes()).toEqual(['a', 'd']);
  });
});

describe('savepoints by hand [SP-15]', () => {
  test('are rolled back, or released, each with what was done in it', async () => {
    const { transactions, note, proxy } = fixture;
    const seen = await proxy.record(() =>
      transactions.run(async () => {
        await note('a');
        const first = await transaction().openSavepoint('a test');
        await note('b');
        await transaction().rollbackSavepoint(first);
        const second = await transaction().openSavepoint('a test');
        await note('c');
        await transaction().releaseSavepoint(second);
      }),
    );
    expect(await fixture.notes()).toEqual(['a', 'c']);
    expect(controls(seen.sql)).toEqual([
      'BEGIN',
      'write',
      'SAVEPOINT uow_1',
      'write',
      'ROLLBACK TO SAVEPOINT uow_1',
      'RELEASE SAVEPOINT uow_1',
      'SAVEPOINT uow_1',
      'write',
      'RELEASE SAVEPOINT uow_1',
      'COMMIT',
    ]);
  });

  test('rolled back bring a failed transaction back to work', async () => {
    const { transactions, note } = fixture;
    await transactions.run(async () => {
      await note('a');
      const savepoint = await transaction().openSavepoint('a test');
      await thrownBy(note('a'));
      await transaction().rollbackSavepoint(savepoint);
      await note('b');
    });
    expect(await fixture.notes()).toEqual(['a', 'b']);
  });

  test('end once [SP-44], and with those inside them', async () => {
    const { transactions, note } = fixture;
    await transactions.run(async () => {
      const outer = await transaction().openSavepoint('outer');
      await note('a');
      const inner = await transaction().openSavepoint('inner');
      await note('b');
      await transaction().releaseSavepoint(outer);
      expect([outer.isActive, inner.isActive]).toEqual([false, false]);
      for (const one of [outer, inner]) {
        expect(await thrownBy(transaction().rollbackSavepoint(one))).toMatchObject(CLOSED);
        expect(await thrownBy(transaction().releaseSavepoint(one))).toMatchObject(CLOSED);
      }
    });
    expect(await fixture.notes()).toEqual(['a', 'b']);
  });

  test('left open are part of what is committed', async () => {
    const { transactions, note } = fixture;
    await transactions.run(async () => {
      await transaction().openSavepoint('a test');
      await note('a');
    });
    expect(await fixture.notes()).toEqual(['a']);
  });
});

describe('a transaction that was begun by hand', () => {
  test('is joined by declared scopes, and only its opener ends it', async () => {
    const { transactions, note, proxy } = fixture;
    const seen = await proxy.record(() =>
      transactions.runInContext('a script', async () => {
        const begun = context().begin('begin', 'session.begin()');
        await begun.run([{ text: "INSERT INTO note VALUES ('by hand')" }]);
        await transactions.run(() => note('declared'));
        expect(await fixture.notes()).toEqual([]);
        await commitTransaction(begun, null);
      }),
    );
    expect(seen.sql.filter((text) => text === 'BEGIN' || text === 'COMMIT')).toEqual(['BEGIN', 'COMMIT']);
    expect(await fixture.notes()).toEqual(['by hand', 'declared']);
  });

  test('in which a declared scope failed takes nothing more, and cannot be committed', async () => {
    const { transactions } = fixture;
    await transactions.runInContext('a script', async () => {
      const begun = context().begin('begin', 'session.begin()');
      const reason = new Error('no');
      await thrownBy(
        transactions.run(() => {
          throw reason;
        }),
      );
      const refused = await thrownBy(begun.run([{ text: 'SELECT 1' }]));
      expect(refused).toMatchObject({ code: 'UOW_PENDING_ROLLBACK' });
      expect(refused.cause).toBe(reason);
      expect(await thrownBy(commitTransaction(begun, null))).toMatchObject({ code: 'UOW_PENDING_ROLLBACK' });
    });
    expect(await fixture.notes()).toEqual([]);
  });

  test('whose BEGIN failed cannot be committed either, although nothing was sent since', async () => {
    await using other = await transactionFixture({ options: { isolation: 'NONSENSE' } });
    await other.transactions.runInContext('a script', async () => {
      const begun = (ambientContext(other.source) as NonNullable<ReturnType<typeof ambientContext>>).begin(
        'begin',
        'session.begin()',
        { locals: { work_mem: 'much' } },
      );
      await thrownBy(begun.run([{ text: 'SELECT 1' }]));
      expect(await thrownBy(commitTransaction(begun, null))).toMatchObject({ code: 'UOW_PENDING_ROLLBACK' });
    });
    expect(other.source.heldConnections).toBe(0);
  });

  test('begun twice is refused, naming where it was begun first', async () => {
    const { transactions } = fixture;
    await transactions.runInContext('a script', () => {
      context().begin('begin', 'session.begin()');
      expect(() => context().begin('begin', 'session.begin()')).toThrow(
        expect.objectContaining({
          code: 'UOW_TRANSACTION_ALREADY_BEGUN',
          message: expect.stringContaining('rollback-by-hand.test.ts') as string,
        }) as Error,
      );
    });
  });

  test('by a session’s first write is no ground for a root scope, which says where it began', async () => {
    const { transactions } = fixture;
    await transactions.runInContext('a script', async () => {
      context().begin('autobegin', 'session.flush()');
      expect(await thrownBy(transactions.run({ label: 'Orders.place' }, () => undefined))).toMatchObject({
        code: 'UOW_TRANSACTION_ALREADY_BEGUN',
        message: expect.stringMatching(/Orders\.place.*session\.flush\(\)/) as string,
      });
    });
  });

  test('and left open is rolled back when its context ends', async () => {
    const { transactions, source } = fixture;
    await transactions.runInContext('a script', async () => {
      await context()
        .begin('begin', 'session.begin()')
        .run([{ text: "INSERT INTO note VALUES ('a')" }]);
    });
    expect(source.heldConnections).toBe(0);
    expect(await fixture.notes()).toEqual([]);
  });

  test('runs its hooks as a declared one does', async () => {
    const { transactions } = fixture;
    const ran: string[] = [];
    await transactions.runInContext('a script', async () => {
      for (const end of [
        commitTransaction,
        (one: Parameters<typeof commitTransaction>[0]) => rollbackTransaction(one, null, null),
      ]) {
        const begun = context().begin('begin', 'session.begin()');
        transactions.beforeCommit(() => ran.push('beforeCommit'));
        transactions.afterCompletion((status) => ran.push(status));
        await end(begun, null);
      }
    });
    expect(ran).toEqual(['beforeCommit', 'committed', 'rolledBack']);
  });
});
