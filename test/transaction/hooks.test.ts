import { ambientTransaction } from '../../libs/uow/src/transaction/ambient.js';
import { controls, transactionFixture } from './transaction-fixture.js';
import type { TransactionFixture } from './transaction-fixture.js';
import { thrownBy } from './waiting.js';

/** Hooks in Spring's order, with Spring's error rules. */

let fixture: TransactionFixture;
let ran: string[];
beforeAll(async () => {
  fixture = await transactionFixture({ poolSize: 3 });
});
afterAll(async () => {
  await fixture.close();
});
beforeEach(async () => {
  await fixture.database.query('TRUNCATE note');
  fixture.warnings.length = 0;
  ran = [];
});

/** Registers one hook of each kind, which say that they ran and how many statements had been sent. */
function registerAll(name = ''): void {
  const { transactions, proxy } = fixture;
  const say = (what: string) => (status?: unknown) => {
    ran.push(
      `${name}${what}${typeof status === 'string' ? ` ${status}` : ''} after ${proxy.sql.at(-1)?.split(' ')[0] ?? ''}`,
    );
  };
  transactions.afterCompletion(say('afterCompletion'));
  transactions.afterCommit(say('afterCommit'));
  transactions.afterRollback(say('afterRollback'));
  transactions.beforeCompletion(say('beforeCompletion'));
  transactions.beforeCommit(say('beforeCommit'));
}

describe('order', () => {
  test('of success: beforeCommit, beforeCompletion, COMMIT, afterCommit, afterCompletion [SP-50]', async () => {
    await fixture.transactions.run(async () => {
      await fixture.note('a');
      registerAll();
    });
    expect(ran).toEqual([
      'beforeCommit after INSERT',
      'beforeCompletion after INSERT',
      'afterCommit after COMMIT',
      'afterCompletion committed after COMMIT',
    ]);
  });

  test('of rollback: beforeCompletion, ROLLBACK, afterRollback, afterCompletion [SP-51]', async () => {
    await thrownBy(
      fixture.transactions.run(async () => {
        await fixture.note('a');
        registerAll();
        throw new Error('no');
      }),
    );
    expect(ran).toEqual([
      'beforeCompletion after INSERT',
      'afterRollback after ROLLBACK',
      'afterCompletion rolledBack after ROLLBACK',
    ]);
  });

  test('within a kind is that of registration, each awaited [SP-52]', async () => {
    const { transactions } = fixture;
    await transactions.run(() => {
      for (const name of ['1', '2', '3']) {
        transactions.afterCommit(async () => {
          await new Promise((resolve) => setImmediate(resolve));
          ran.push(name);
        });
      }
    });
    expect(ran).toEqual(['1', '2', '3']);
  });

  test('of hooks registered in a joined scope is that of the whole: they run once, at the outer end [SP-59]', async () => {
    const { transactions } = fixture;
    await transactions.run(async () => {
      await transactions.run(() => {
        transactions.afterCommit(() => ran.push('joined'));
      });
      ran.push('outer goes on');
    });
    expect(ran).toEqual(['outer goes on', 'joined']);
  });

  test('of hooks registered in a nested scope is that of the transaction, also when the nested scope fails [SP-16]', async () => {
    const { transactions } = fixture;
    await transactions.run(async () => {
      await thrownBy(
        transactions.run({ propagation: 'NESTED' }, () => {
          transactions.afterCompletion((status) => ran.push(`nested ${status}`));
          throw new Error('no');
        }),
      );
      ran.push('outer goes on');
    });
    expect(ran).toEqual(['outer goes on', 'nested committed']);
  });

  test('keeps the hooks of REQUIRES_NEW apart from those of the suspended transaction [SP-03]', async () => {
    const { transactions } = fixture;
    await transactions.run(async () => {
      transactions.afterCommit(() => ran.push('outer'));
      await transactions.run({ propagation: 'REQUIRES_NEW' }, () => {
        transactions.afterCommit(() => ran.push('inner'));
      });
      ran.push('outer goes on');
    });
    expect(ran).toEqual(['inner', 'outer goes on', 'outer']);
  });
});

describe('what a hook throws', () => {
  test('in beforeCommit rolls back and reaches the caller; later beforeCommit hooks do not run [SP-74]', async () => {
    const { transactions, note } = fixture;
    const error = new Error('no');
    await expect(
      transactions.run(async () => {
        await note('a');
        transactions.beforeCommit(() => {
          throw error;
        });
        registerAll();
      }),
    ).rejects.toBe(error);
    expect(ran.map((one) => one.split(' ')[0])).toEqual(['beforeCompletion', 'afterRollback', 'afterCompletion']);
    expect(await fixture.notes()).toEqual([]);
  });

  test('in beforeCompletion is reported and changes nothing; others run [SP-54]', async () => {
    const { transactions, note, warnings } = fixture;
    const error = new Error('no');
    await transactions.run(async () => {
      await note('a');
      transactions.beforeCompletion(() => {
        throw error;
      });
      transactions.beforeCompletion(() => ran.push('second'));
    });
    expect(ran).toEqual(['second']);
    expect(warnings).toMatchObject([{ code: 'UOW_WARN_HOOK_FAILED', error }]);
    expect(await fixture.notes()).toEqual(['a']);
  });

  test('in afterCommit reaches the caller as AfterCommitError; later afterCommit hooks do not run, afterCompletion does [SP-55]', async () => {
    const { transactions } = fixture;
    const cause = new Error('no');
    const error = await thrownBy(
      transactions.run(() => {
        transactions.afterCommit(() => {
          throw cause;
        });
        registerAll();
        return 7;
      }),
    );
    expect(error).toMatchObject({ code: 'UOW_AFTER_COMMIT', committed: true, result: 7 });
    expect(error.cause).toBe(cause);
    expect(ran.map((one) => one.split(' ').slice(0, 2).join(' '))).toEqual([
      'beforeCommit after',
      'beforeCompletion after',
      'afterCompletion committed',
    ]);
  });

  test.each(['afterCompletion', 'afterRollback'] as const)(
    'in %s is reported; others run, the caller is not affected [SP-56]',
    async (kind) => {
      const { transactions, warnings } = fixture;
      const mine = new Error('mine');
      const error = new Error('hook');
      await expect(
        transactions.run(() => {
          transactions[kind](() => {
            throw error;
          });
          transactions[kind](() => ran.push('second'));
          throw mine;
        }),
      ).rejects.toBe(mine);
      expect(ran).toEqual(['second']);
      expect(warnings).toMatchObject([{ code: 'UOW_WARN_HOOK_FAILED', error }]);
    },
  );

  test('is the same for a rejected promise', async () => {
    const { transactions } = fixture;
    const error = new Error('later');
    await expect(
      transactions.run(() => {
        transactions.beforeCommit(() => Promise.reject(error));
      }),
    ).rejects.toBe(error);
  });
});

describe('before the end hooks', () => {
  test('run inside the transaction: what they write is part of it', async () => {
    const { transactions, note, proxy } = fixture;
    const seen = await proxy.record(() =>
      transactions.run(async () => {
        await note('a');
        transactions.beforeCommit(() => note('b'));
        transactions.beforeCompletion(() => note('c'));
      }),
    );
    expect(controls(seen.sql)).toEqual(['BEGIN', 'write', 'write', 'write', 'COMMIT']);
  });

  test('may call transactional methods, which join or nest', async () => {
    const { transactions, note, proxy } = fixture;
    const seen = await proxy.record(() =>
      transactions.run(async () => {
        await note('a');
        transactions.beforeCommit(async () => {
          await transactions.run(() => note('b'));
          await transactions.run({ propagation: 'NESTED' }, () => note('c'));
        });
      }),
    );
    expect(controls(seen.sql)).toEqual([
      'BEGIN',
      'write',
      'write',
      'SAVEPOINT uow_1',
      'write',
      'RELEASE SAVEPOINT uow_1',
      'COMMIT',
    ]);
  });

  test('whose statement fails, and is swallowed, let nothing commit', async () => {
    const { transactions, note } = fixture;
    await expect(
      transactions.run(async () => {
        await note('a');
        transactions.beforeCommit(async () => {
          await note('a').catch(() => undefined);
        });
      }),
    ).rejects.toMatchObject({ code: 'UOW_TRANSACTION_ROLLED_BACK', cause: { code: 'UOW_UNIQUE_VIOLATION' } });
  });

  test('may decide to roll back in silence', async () => {
    const { transactions, note } = fixture;
    const value = await transactions.run(async () => {
      await note('a');
      transactions.beforeCommit(() => {
        transactions.setRollbackOnly();
      });
      return 7;
    });
    expect(value).toBe(7);
    expect(await fixture.notes()).toEqual([]);
  });

  test('may register further hooks of their own kind and later ones', async () => {
    const { transactions } = fixture;
    await transactions.run(() => {
      transactions.beforeCommit(() => {
        transactions.beforeCommit(() => ran.push('beforeCommit'));
        transactions.beforeCompletion(() => {
          transactions.afterCommit(() => ran.push('afterCommit'));
          ran.push('beforeCompletion');
        });
      });
    });
    expect(ran).toEqual(['beforeCommit', 'beforeCompletion', 'afterCommit']);
  });

  test('cannot register what would never run', async () => {
    const { transactions, warnings } = fixture;
    await transactions.run(() => {
      transactions.beforeCompletion(() => {
        transactions.beforeCommit(() => ran.push('never'));
      });
    });
    expect(warnings).toMatchObject([{ error: { code: 'UOW_ILLEGAL_TRANSACTION_STATE' } }]);
  });
});

describe('after the end hooks', () => {
  test.each(['afterCommit', 'afterCompletion'] as const)(
    '%s run with no transaction ambient, and see what was committed [SP-61]',
    async (kind) => {
      const { transactions, note, sql, source } = fixture;
      let seen: unknown;
      await transactions.run(async () => {
        await note('a');
        transactions[kind](async () => {
          expect(ambientTransaction(source)).toBeNull();
          expect(transactions.current()).toBeNull();
          seen = await sql('SELECT value FROM note');
        });
      });
      expect(seen).toEqual([{ value: 'a' }]);
    },
  );

  test('may run a transaction of their own, which commits by itself [SP-58]', async () => {
    const { transactions, note, proxy } = fixture;
    const seen = await proxy.record(() =>
      transactions.run(async () => {
        await note('a');
        transactions.afterCompletion(() => transactions.run(() => note('b')));
      }),
    );
    expect(controls(seen.sql)).toEqual(['BEGIN', 'write', 'COMMIT', 'BEGIN', 'write', 'COMMIT']);
  });

  test('cannot register another hook [SP-58]', async () => {
    const { transactions } = fixture;
    const error = await thrownBy(
      transactions.run(() => {
        transactions.afterCommit(() => {
          transactions.afterCommit(() => undefined);
        });
      }),
    );
    expect(error).toMatchObject({ code: 'UOW_AFTER_COMMIT', cause: { code: 'UOW_ILLEGAL_TRANSACTION_STATE' } });
  });

  test('of an inner transaction do not run in the suspended one', async () => {
    const { transactions, note } = fixture;
    const error = await thrownBy(
      transactions.run(async () => {
        await transactions.run({ propagation: 'REQUIRES_NEW' }, async () => {
          await note('inner');
          transactions.afterCommit(() => transactions.run(() => note('after inner')));
        });
        throw new Error('the outer one fails');
      }),
    );
    expect(error.message).toBe('the outer one fails');
    expect(await fixture.notes()).toEqual(['after inner', 'inner']);
  });
});

test.each(['beforeCommit', 'beforeCompletion', 'afterCommit', 'afterRollback', 'afterCompletion'] as const)(
  '%s() without a transaction is an IllegalTransactionStateError [SP-57]',
  async (kind) => {
    const { transactions } = fixture;
    const illegal = expect.objectContaining({ code: 'UOW_ILLEGAL_TRANSACTION_STATE' }) as Error;
    expect(() => {
      transactions[kind](() => undefined);
    }).toThrow(illegal);
    await transactions.run({ propagation: 'NOT_SUPPORTED' }, () => {
      expect(() => {
        transactions[kind](() => undefined);
      }).toThrow(illegal);
    });
  },
);

test('observers are told around BEGIN, COMMIT and ROLLBACK, not for scopes that join [SP-62]', async () => {
  const { transactions, note, source } = fixture;
  const say = (what: string) => () => {
    ran.push(what);
  };
  transactions.observe(source, {
    beforeBegin: say('beforeBegin'),
    afterBegin: say('afterBegin'),
    beforeCommit: say('beforeCommit'),
    afterCommit: say('afterCommit'),
    beforeRollback: say('beforeRollback'),
    afterRollback: say('afterRollback'),
  });
  try {
    await transactions.run(() => transactions.run(() => note('a')));
    await thrownBy(
      transactions.run(async () => {
        await note('b');
        throw new Error('no');
      }),
    );
    await transactions.run(() => undefined);
  } finally {
    transactions.observe(source, null);
  }
  expect(ran).toEqual([
    'beforeBegin',
    'afterBegin',
    'beforeCommit',
    'afterCommit',
    'beforeBegin',
    'afterBegin',
    'beforeRollback',
    'afterRollback',
  ]);
});

test('an observer’s statements run inside the transaction, in the turn of what it is told about', async () => {
  const { transactions, note, source, proxy } = fixture;
  transactions.observe(source, {
    afterBegin: () => note('from afterBegin'),
    beforeCommit: () => note('from beforeCommit'),
  });
  try {
    const seen = await proxy.record(() =>
      transactions.run(async () => {
        await Promise.all([note('a'), note('b')]);
      }),
    );
    expect(controls(seen.sql)).toEqual(['BEGIN', 'write', 'write', 'write', 'write', 'COMMIT']);
    expect(seen.statements.slice(1, 5).map(({ parameters }) => (parameters as unknown as string[])[0])).toEqual([
      'a',
      'from afterBegin',
      'b',
      'from beforeCommit',
    ]);
  } finally {
    transactions.observe(source, null);
  }
});

test('an observer that throws at ROLLBACK keeps no connection back', async () => {
  const { transactions, note, source, warnings } = fixture;
  transactions.observe(source, {
    beforeRollback: () => {
      throw new Error('observer');
    },
  });
  try {
    const mine = new Error('mine');
    await expect(
      transactions.run(async () => {
        await note('a');
        throw mine;
      }),
    ).rejects.toBe(mine);
  } finally {
    transactions.observe(source, null);
  }
  expect(source.heldConnections).toBe(0);
  expect(warnings).toMatchObject([{ code: 'UOW_WARN_HOOK_FAILED' }]);
  expect(await fixture.notes()).toEqual([]);
});
