import { controls, transactionFixture } from './transaction-fixture.js';
import type { TransactionFixture } from './transaction-fixture.js';
import { thrownBy, until } from './waiting.js';
import { ambientTransaction } from '../../libs/uow/src/transaction/ambient.js';

/** Whoever is told "committed" can rely on it, and whoever is not knows why. */

let fixture: TransactionFixture;
beforeAll(async () => {
  fixture = await transactionFixture({
    schema: `CREATE TABLE parent (id int PRIMARY KEY);
             CREATE TABLE child (parent_id int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);`,
  });
});
afterAll(async () => {
  await fixture.close();
});
beforeEach(async () => {
  await fixture.database.query('TRUNCATE note, parent, child');
  fixture.warnings.length = 0;
});

class Expected extends Error {}

describe('a failed statement whose error is swallowed', () => {
  test('makes a normal return a TransactionRolledBackError that carries the swallowed error', async () => {
    const { transactions, note } = fixture;
    let swallowed: unknown;
    const error = await thrownBy(
      transactions.run({ label: 'Orders.place' }, async () => {
        await note('a');
        await note('a').catch((one: unknown) => {
          swallowed = one;
        });
        return 'done';
      }),
    );
    expect(error).toMatchObject({
      code: 'UOW_TRANSACTION_ROLLED_BACK',
      message: expect.stringContaining('Orders.place returned normally') as string,
    });
    expect(error.cause).toBe(swallowed);
    expect(await fixture.notes()).toEqual([]);
  });

  test('makes later statements PendingRollbackErrors with the first failure as cause, without a round trip', async () => {
    const { transactions, note, proxy } = fixture;
    let first: unknown;
    const seen = await proxy.record(async () => {
      await thrownBy(
        transactions.run(async () => {
          await note('a');
          await note('a').catch((one: unknown) => {
            first = one;
          });
          const second = await thrownBy(note('b'));
          expect(second).toMatchObject({ code: 'UOW_PENDING_ROLLBACK' });
          expect(second.cause).toBe(first);
        }),
      );
    });
    expect(controls(seen.sql)).toEqual(['BEGIN', 'write', 'write', 'ROLLBACK']);
  });

  test('shows joined code 25P02 only with the first failure as its cause', async () => {
    const { transactions, note, source } = fixture;
    await thrownBy(
      transactions.run(async () => {
        await note('a');
        const first = await thrownBy(note('a'));
        const second = await thrownBy(
          (ambientTransaction(source) as NonNullable<ReturnType<typeof ambientTransaction>>).runJoined('SELECT 1'),
        );
        expect(second).toMatchObject({ code: '25P02' });
        expect(second.cause).toBe(first);
      }),
    );
  });

  test('in the settings that go with BEGIN dooms the transaction, also when a savepoint was to follow', async () => {
    const { transactions, note } = fixture;
    const error = await thrownBy(
      transactions.run({ locals: { work_mem: 'much' } }, async () => {
        await transactions.run({ propagation: 'NESTED' }, () => note('a')).catch(() => undefined);
        const later = await thrownBy(note('b'));
        expect(later).toMatchObject({ code: 'UOW_PENDING_ROLLBACK', cause: { sqlState: '22023' } });
      }),
    );
    expect(error).toMatchObject({ code: 'UOW_TRANSACTION_ROLLED_BACK', cause: { sqlState: '22023' } });
  });

  test('in a nested scope costs only that scope', async () => {
    const { transactions, note } = fixture;
    await transactions.run(async () => {
      await note('a');
      const error = await thrownBy(
        transactions.run({ propagation: 'NESTED' }, async () => {
          await note('b');
          await note('a').catch(() => undefined);
        }),
      );
      expect(error).toMatchObject({ code: 'UOW_TRANSACTION_ROLLED_BACK' });
      await note('c');
    });
    expect(await fixture.notes()).toEqual(['a', 'c']);
  });
});

describe('marks', () => {
  test('of a joined scope that failed make the owner’s normal return an UnexpectedRollbackError that says who and why', async () => {
    const { transactions, note } = fixture;
    const reason = new Error('the audit trail is full');
    const error = await thrownBy(
      transactions.run({ label: 'Orders.place' }, async () => {
        await note('a');
        await transactions
          .run({ label: 'Audit.write' }, () => {
            throw reason;
          })
          .catch(() => undefined);
      }),
    );
    expect(error).toMatchObject({
      code: 'UOW_UNEXPECTED_ROLLBACK',
      markedBy: 'Audit.write',
      message: expect.stringMatching(/Orders\.place.*Audit\.write.*the audit trail is full/) as string,
    });
    expect(error.cause).toBe(reason);
    expect(await fixture.notes()).toEqual([]);
  });

  test('setRollbackOnly(reason) in a joined scope names the scope and the reason', async () => {
    const { transactions, note } = fixture;
    const error = await thrownBy(
      transactions.run(async () => {
        await note('a');
        await transactions.run({ label: 'Limits.check' }, () => {
          transactions.setRollbackOnly('over the limit');
        });
      }),
    );
    expect(error).toMatchObject({ code: 'UOW_UNEXPECTED_ROLLBACK', markedBy: 'Limits.check', cause: 'over the limit' });
  });

  test('setRollbackOnly() in the owner rolls back and the value is returned without an error', async () => {
    const { transactions, note, proxy } = fixture;
    const seen = await proxy.record(async () => {
      const value = await transactions.run(async () => {
        await note('a');
        transactions.setRollbackOnly();
        expect(transactions.current()?.isRollbackOnly).toBe(true);
        return 7;
      });
      expect(value).toBe(7);
    });
    expect(controls(seen.sql)).toEqual(['BEGIN', 'write', 'ROLLBACK']);
  });

  test('setRollbackOnly() in a NOT_SUPPORTED scope does nothing to the suspended transaction [SP-05]', async () => {
    const { transactions, note } = fixture;
    await transactions.run(async () => {
      await note('a');
      await transactions.run({ propagation: 'NOT_SUPPORTED' }, () => {
        expect(transactions.current()).toMatchObject({ isTransactional: false, readOnly: false });
        transactions.setRollbackOnly();
      });
    });
    expect(await fixture.notes()).toEqual(['a']);
  });

  test('of a nested scope are cleared by its rollback [SP-12]', async () => {
    const { transactions, note } = fixture;
    await transactions.run(async () => {
      await note('a');
      await transactions.run({ propagation: 'NESTED' }, async () => {
        await note('b');
        transactions.setRollbackOnly();
      });
      expect(transactions.current()?.isRollbackOnly).toBe(false);
    });
    expect(await fixture.notes()).toEqual(['a']);
  });

  test('of a joined scope inside a savepoint opened by hand are cleared by that savepoint’s rollback', async () => {
    const { transactions, note, source } = fixture;
    await transactions.run(async () => {
      await note('a');
      const transaction = ambientTransaction(source) as NonNullable<ReturnType<typeof ambientTransaction>>;
      const savepoint = await transaction.openSavepoint('a test');
      await thrownBy(
        transactions.run(async () => {
          await note('b');
          throw new Error('no');
        }),
      );
      await transaction.rollbackSavepoint(savepoint);
      await note('c');
    });
    expect(await fixture.notes()).toEqual(['a', 'c']);
  });

  test('set by a beforeCommit hook count as if the function had set them', async () => {
    const { transactions, note } = fixture;
    const error = await thrownBy(
      transactions.run(async () => {
        await note('a');
        transactions.beforeCommit(async () => {
          await transactions
            .run({ label: 'Late.check' }, () => {
              throw new Error('late');
            })
            .catch(() => undefined);
        });
      }),
    );
    expect(error).toMatchObject({ code: 'UOW_UNEXPECTED_ROLLBACK', markedBy: 'Late.check' });
    expect(await fixture.notes()).toEqual([]);
  });
});

describe('what is thrown', () => {
  test.each([undefined, null, 'text', 0])('%p rolls back and reaches the caller [SP-30]', async (thrown) => {
    const { transactions, note, proxy } = fixture;
    const seen = await proxy.record(async () => {
      const outcome = await transactions
        .run(async () => {
          await note('a');
          throw thrown;
        })
        .then(
          () => 'returned',
          (error: unknown) => ({ error }),
        );
      expect(outcome).toEqual({ error: thrown });
    });
    expect(controls(seen.sql)).toEqual(['BEGIN', 'write', 'ROLLBACK']);
  });

  test('is the same for a rejected promise that was returned [SP-46]', async () => {
    const { transactions, note } = fixture;
    const reason = new Error('later');
    await expect(transactions.run(() => note('a').then(() => Promise.reject(reason)))).rejects.toBe(reason);
    expect(await fixture.notes()).toEqual([]);
  });

  test('is committed and thrown on where noRollbackFor says so', async () => {
    const { transactions, note, proxy } = fixture;
    const seen = await proxy.record(async () => {
      await expect(
        transactions.run({ noRollbackFor: Expected }, async () => {
          await note('a');
          throw new Expected('told');
        }),
      ).rejects.toBeInstanceOf(Expected);
    });
    expect(controls(seen.sql)).toEqual(['BEGIN', 'write', 'COMMIT']);
  });

  test('gives way to the error of a COMMIT that then fails, which carries it [SP-37]', async () => {
    const { transactions, sql } = fixture;
    const told = new Expected('told');
    const error = await thrownBy(
      transactions.run({ noRollbackFor: Expected }, async () => {
        await sql('INSERT INTO child VALUES (1)');
        throw told;
      }),
    );
    expect(error).toMatchObject({ code: 'UOW_FOREIGN_KEY_VIOLATION' });
    expect(error.applicationError).toBe(told);
  });

  test('survives a rollback that fails, whose error is attached [SP-36]', async () => {
    const { transactions, note, proxy, source, warnings } = fixture;
    const mine = new Error('mine');
    const cut = proxy.cut({ sql: 'ROLLBACK' });
    const error = await thrownBy(
      transactions.run(async () => {
        await note('a');
        throw mine;
      }),
    );
    expect(cut.hits).toBe(1);
    expect(error).toBe(mine);
    expect(error.rollbackError).toBeInstanceOf(Error);
    expect(warnings.map((one) => one.code)).toEqual(['UOW_WARN_ROLLBACK_FAILED']);
    expect(source.heldConnections).toBe(0);
    await fixture.database.untilNoTransaction();
    expect(await fixture.notes()).toEqual([]);
  });

  test('inside a scope that joined reaches the caller once, not wrapped', async () => {
    const { transactions } = fixture;
    const mine = new Error('mine');
    await expect(
      transactions.run(() =>
        transactions.run(() =>
          transactions.run({ propagation: 'NESTED' }, () => {
            throw mine;
          }),
        ),
      ),
    ).rejects.toBe(mine);
  });
});

describe('COMMIT', () => {
  test('refused by a deferred constraint is a known abort with its type [SP-40]', async () => {
    const { transactions, sql, proxy, source } = fixture;
    const seen = await proxy.record(async () => {
      await expect(
        transactions.run(async () => {
          await sql('INSERT INTO child VALUES (1)');
        }),
      ).rejects.toMatchObject({ code: 'UOW_FOREIGN_KEY_VIOLATION', constraint: 'child_parent_id_fkey' });
    });
    // The server has rolled back by itself; there is nothing to send, and the connection is good.
    expect(seen.log.at(-1)).toBe('COMMIT => ERROR 23503');
    expect(source.heldConnections).toBe(0);
    expect(proxy.openConnections.length).toBeGreaterThan(0);
  });

  test.each([
    ['COMMIT', ['COMMIT']],
    ['ROLLBACK', ['ROLLBACK']],
    ['COMMIT AND CHAIN', ['COMMIT AND CHAIN']],
    ['ROLLBACK AND CHAIN', ['ROLLBACK AND CHAIN']],
  ])('that somebody else sent (%s) is TransactionEndedOutsideError, and the connection is destroyed', async (text) => {
    const { transactions, note, sql, proxy } = fixture;
    const outcomes: string[] = [];
    const seen = await proxy.record(async () => {
      await expect(
        transactions.run(async () => {
          transactions.afterCompletion((status) => outcomes.push(status));
          transactions.afterRollback(() => outcomes.push('afterRollback'));
          await note('a');
          await sql(text).catch(() => undefined);
        }),
      ).rejects.toMatchObject({ code: 'UOW_TRANSACTION_ENDED_OUTSIDE' });
    });
    expect(seen.sql.at(-1)).toBe(text);
    const used = seen.statements[0]?.connection;
    await until(() => used?.closed === true);
    // Nobody here knows what is stored: nothing may claim that it was rolled back.
    expect(outcomes).toEqual(['unknown']);
  });

  test('hidden in a script whose next statement fails is found all the same', async () => {
    const { transactions, note, source } = fixture;
    await expect(
      transactions.run(async () => {
        await note('a');
        const transaction = ambientTransaction(source) as NonNullable<ReturnType<typeof ambientTransaction>>;
        await transaction.runJoined('COMMIT; SELECT 1/0').catch(() => undefined);
      }),
    ).rejects.toMatchObject({ code: 'UOW_TRANSACTION_ENDED_OUTSIDE' });
    expect(await fixture.notes()).toEqual(['a']);
  });

  test('is sent once, at the end of the outermost scope [SP-01, SP-02]', async () => {
    const { transactions, note, proxy } = fixture;
    const seen = await proxy.record(() =>
      transactions.run(async () => {
        await note('a');
        await transactions.run(async () => {
          expect(transactions.current()).toMatchObject({ isNewTransaction: false, isTransactional: true });
          await note('b');
        });
        await note('c');
      }),
    );
    expect(controls(seen.sql)).toEqual(['BEGIN', 'write', 'write', 'write', 'COMMIT']);
  });
});

describe('AfterCommitError', () => {
  test('tells that the transaction is committed, with the result, when an afterCommit hook throws', async () => {
    const { transactions, note } = fixture;
    const reason = new Error('mail server away');
    const error = await thrownBy(
      transactions.run(async () => {
        await note('a');
        transactions.afterCommit(() => {
          throw reason;
        });
        return 42;
      }),
    );
    expect(error).toMatchObject({ code: 'UOW_AFTER_COMMIT', committed: true, result: 42 });
    expect(error.cause).toBe(reason);
    expect(await fixture.notes()).toEqual(['a']);
  });

  test('is reported, not thrown, where the function threw an error that was committed', async () => {
    const { transactions, note, warnings } = fixture;
    const told = new Expected('told');
    await expect(
      transactions.run({ noRollbackFor: Expected }, async () => {
        await note('a');
        transactions.afterCommit(() => {
          throw new Error('mail server away');
        });
        throw told;
      }),
    ).rejects.toBe(told);
    expect(warnings).toMatchObject([{ code: 'UOW_WARN_HOOK_FAILED', error: { code: 'UOW_AFTER_COMMIT' } }]);
  });
});
