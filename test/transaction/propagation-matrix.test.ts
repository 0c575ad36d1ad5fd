import { Transactional } from '../../libs/uow/src/nest/transactional.decorator.js';
import type { Propagation, TransactionOptions } from '../../libs/uow/src/transaction/transaction-definition.js';
import { controls, transactionFixture } from './transaction-fixture.js';
import type { TransactionFixture } from './transaction-fixture.js';

/**
 * Every propagation × what is around × how the method ends × decorator or run, against a table written by
 * hand from Spring's rules: what each connection sends, what the inner caller gets, what the outer caller gets.
 * The outer method catches what the inner one throws and returns normally.
 */

type Around = 'no transaction' | 'an active transaction' | 'a rollback-only transaction';
type Ending = 'returns' | 'throws' | 'throws an allowed error';

interface Row {
  readonly propagation: Propagation;
  readonly around: Around;
  readonly ending: Ending;
  /** What each connection sends, in the order in which they are first used. */
  readonly sent: readonly (readonly string[])[];
  readonly inner: 'ok' | 'boom' | 'allowed' | 'UOW_ILLEGAL_TRANSACTION_STATE';
  readonly outer: 'ok' | 'UOW_UNEXPECTED_ROLLBACK';
  /** The notes that everybody sees afterwards. */
  readonly stored: readonly string[];
}

const ENDINGS: readonly Ending[] = ['returns', 'throws', 'throws an allowed error'];
const thrown = { returns: 'ok', throws: 'boom', 'throws an allowed error': 'allowed' } as const;

const COMMITTED = ['BEGIN', 'write', 'COMMIT'];
const ROLLED_BACK = ['BEGIN', 'write', 'ROLLBACK'];
const READ = ['SELECT 1'];

/** REQUIRED, REQUIRES_NEW and NESTED with nothing around: a transaction of their own. */
const begins = (propagation: Propagation): Row[] => [
  {
    propagation,
    around: 'no transaction',
    ending: 'returns',
    sent: [COMMITTED],
    inner: 'ok',
    outer: 'ok',
    stored: ['inner'],
  },
  {
    propagation,
    around: 'no transaction',
    ending: 'throws',
    sent: [ROLLED_BACK],
    inner: 'boom',
    outer: 'ok',
    stored: [],
  },
  {
    propagation,
    around: 'no transaction',
    ending: 'throws an allowed error',
    sent: [COMMITTED],
    inner: 'allowed',
    outer: 'ok',
    stored: ['inner'],
  },
];

/** REQUIRED, SUPPORTS and MANDATORY inside a transaction: part of it. */
const joins = (propagation: Propagation): Row[] => [
  {
    propagation,
    around: 'an active transaction',
    ending: 'returns',
    sent: [['BEGIN', 'write', 'write', 'COMMIT']],
    inner: 'ok',
    outer: 'ok',
    stored: ['inner', 'outer'],
  },
  {
    propagation,
    around: 'an active transaction',
    ending: 'throws',
    sent: [['BEGIN', 'write', 'write', 'ROLLBACK']],
    inner: 'boom',
    outer: 'UOW_UNEXPECTED_ROLLBACK',
    stored: [],
  },
  {
    propagation,
    around: 'an active transaction',
    ending: 'throws an allowed error',
    sent: [['BEGIN', 'write', 'write', 'COMMIT']],
    inner: 'allowed',
    outer: 'ok',
    stored: ['inner', 'outer'],
  },
  ...ENDINGS.map((ending): Row => ({
    propagation,
    around: 'a rollback-only transaction',
    ending,
    sent: [['BEGIN', 'write', 'write', 'ROLLBACK']],
    inner: thrown[ending],
    outer: 'ok',
    stored: [],
  })),
];

/** SUPPORTS, NOT_SUPPORTED and NEVER with nothing around: no transaction. */
const goesWithout = (propagation: Propagation): Row[] =>
  ENDINGS.map((ending) => ({
    propagation,
    around: 'no transaction',
    ending,
    sent: [READ],
    inner: thrown[ending],
    outer: 'ok',
    stored: [],
  }));

const TABLE: readonly Row[] = [
  ...begins('REQUIRED'),
  ...joins('REQUIRED'),

  ...begins('REQUIRES_NEW'),
  {
    propagation: 'REQUIRES_NEW',
    around: 'an active transaction',
    ending: 'returns',
    sent: [COMMITTED, COMMITTED],
    inner: 'ok',
    outer: 'ok',
    stored: ['inner', 'outer'],
  },
  {
    propagation: 'REQUIRES_NEW',
    around: 'an active transaction',
    ending: 'throws',
    sent: [COMMITTED, ROLLED_BACK],
    inner: 'boom',
    outer: 'ok',
    stored: ['outer'],
  },
  {
    propagation: 'REQUIRES_NEW',
    around: 'an active transaction',
    ending: 'throws an allowed error',
    sent: [COMMITTED, COMMITTED],
    inner: 'allowed',
    outer: 'ok',
    stored: ['inner', 'outer'],
  },
  {
    propagation: 'REQUIRES_NEW',
    around: 'a rollback-only transaction',
    ending: 'returns',
    sent: [ROLLED_BACK, COMMITTED],
    inner: 'ok',
    outer: 'ok',
    stored: ['inner'],
  },
  {
    propagation: 'REQUIRES_NEW',
    around: 'a rollback-only transaction',
    ending: 'throws',
    sent: [ROLLED_BACK, ROLLED_BACK],
    inner: 'boom',
    outer: 'ok',
    stored: [],
  },
  {
    propagation: 'REQUIRES_NEW',
    around: 'a rollback-only transaction',
    ending: 'throws an allowed error',
    sent: [ROLLED_BACK, COMMITTED],
    inner: 'allowed',
    outer: 'ok',
    stored: ['inner'],
  },

  ...begins('NESTED'),
  {
    propagation: 'NESTED',
    around: 'an active transaction',
    ending: 'returns',
    sent: [['BEGIN', 'write', 'SAVEPOINT', 'write', 'RELEASE', 'COMMIT']],
    inner: 'ok',
    outer: 'ok',
    stored: ['inner', 'outer'],
  },
  {
    propagation: 'NESTED',
    around: 'an active transaction',
    ending: 'throws',
    sent: [['BEGIN', 'write', 'SAVEPOINT', 'write', 'ROLLBACK TO', 'RELEASE', 'COMMIT']],
    inner: 'boom',
    outer: 'ok',
    stored: ['outer'],
  },
  {
    propagation: 'NESTED',
    around: 'an active transaction',
    ending: 'throws an allowed error',
    sent: [['BEGIN', 'write', 'SAVEPOINT', 'write', 'RELEASE', 'COMMIT']],
    inner: 'allowed',
    outer: 'ok',
    stored: ['inner', 'outer'],
  },
  {
    propagation: 'NESTED',
    around: 'a rollback-only transaction',
    ending: 'returns',
    sent: [['BEGIN', 'write', 'SAVEPOINT', 'write', 'RELEASE', 'ROLLBACK']],
    inner: 'ok',
    outer: 'ok',
    stored: [],
  },
  {
    propagation: 'NESTED',
    around: 'a rollback-only transaction',
    ending: 'throws',
    sent: [['BEGIN', 'write', 'SAVEPOINT', 'write', 'ROLLBACK TO', 'RELEASE', 'ROLLBACK']],
    inner: 'boom',
    outer: 'ok',
    stored: [],
  },
  {
    propagation: 'NESTED',
    around: 'a rollback-only transaction',
    ending: 'throws an allowed error',
    sent: [['BEGIN', 'write', 'SAVEPOINT', 'write', 'RELEASE', 'ROLLBACK']],
    inner: 'allowed',
    outer: 'ok',
    stored: [],
  },

  ...goesWithout('SUPPORTS'),
  ...joins('SUPPORTS'),

  ...ENDINGS.map((ending): Row => ({
    propagation: 'MANDATORY',
    around: 'no transaction',
    ending,
    sent: [],
    inner: 'UOW_ILLEGAL_TRANSACTION_STATE',
    outer: 'ok',
    stored: [],
  })),
  ...joins('MANDATORY'),

  ...goesWithout('NOT_SUPPORTED'),
  ...ENDINGS.map((ending): Row => ({
    propagation: 'NOT_SUPPORTED',
    around: 'an active transaction',
    ending,
    sent: [COMMITTED, READ],
    inner: thrown[ending],
    outer: 'ok',
    stored: ['outer'],
  })),
  ...ENDINGS.map((ending): Row => ({
    propagation: 'NOT_SUPPORTED',
    around: 'a rollback-only transaction',
    ending,
    sent: [ROLLED_BACK, READ],
    inner: thrown[ending],
    outer: 'ok',
    stored: [],
  })),

  ...goesWithout('NEVER'),
  ...ENDINGS.map((ending): Row => ({
    propagation: 'NEVER',
    around: 'an active transaction',
    ending,
    sent: [COMMITTED],
    inner: 'UOW_ILLEGAL_TRANSACTION_STATE',
    outer: 'ok',
    stored: ['outer'],
  })),
  ...ENDINGS.map((ending): Row => ({
    propagation: 'NEVER',
    around: 'a rollback-only transaction',
    ending,
    sent: [ROLLED_BACK],
    inner: 'UOW_ILLEGAL_TRANSACTION_STATE',
    outer: 'ok',
    stored: [],
  })),
];

class Allowed extends Error {}

type Runner = (options: TransactionOptions, fn: () => Promise<void>) => Promise<void>;

let fixture: TransactionFixture;
beforeAll(async () => {
  fixture = await transactionFixture();
});
afterAll(async () => {
  await fixture.close();
});

const runners: readonly { readonly by: string; readonly run: Runner }[] = [
  { by: 'TransactionManager.run', run: (options, fn) => fixture.transactions.run(options, fn) },
  {
    by: 'the decorator',
    run: async (options, fn) => {
      class Service {
        @Transactional(options)
        async method(): Promise<void> {
          await fn();
        }
      }
      await new Service().method();
    },
  },
];

const plain = (sql: readonly string[]): string[] =>
  controls(sql).map((text) => text.replace(/(?: SAVEPOINT)? uow_\d+$/, ''));

test('the table has a row for every combination', () => {
  expect(new Set(TABLE.map((row) => `${row.propagation} ${row.around} ${row.ending}`)).size).toBe(7 * 3 * 3);
  expect(TABLE).toHaveLength(7 * 3 * 3);
});

describe.each(runners)('by $by', ({ run }) => {
  test.each(TABLE)('$propagation in $around that $ending', async (row) => {
    const { transactions, sql, note, proxy, database, source } = fixture;
    await database.query('TRUNCATE note');
    const without =
      ['SUPPORTS', 'NOT_SUPPORTED', 'NEVER'].includes(row.propagation) &&
      (row.around === 'no transaction' || row.propagation === 'NOT_SUPPORTED');
    let inner = 'ok';
    const callInner = async (): Promise<void> => {
      try {
        await run({ propagation: row.propagation, noRollbackFor: Allowed }, async () => {
          if (without) await sql('SELECT 1');
          else await note('inner');
          if (row.ending === 'throws') throw new Error('boom');
          if (row.ending === 'throws an allowed error') throw new Allowed('allowed');
        });
      } catch (error) {
        inner = (error as { code?: string }).code ?? (error as Error).message;
      }
    };
    let outer = 'ok';
    const seen = await proxy.record(async () => {
      try {
        await transactions.runInContext('a test', async () => {
          if (row.around === 'no transaction') {
            await callInner();
            return;
          }
          await run({}, async () => {
            await note('outer');
            if (row.around === 'a rollback-only transaction') transactions.setRollbackOnly();
            await callInner();
          });
        });
      } catch (error) {
        outer = (error as { code?: string }).code ?? (error as Error).message;
      }
    });
    expect({ inner, outer, sent: seen.transcripts.map(plain), stored: await fixture.notes() }).toEqual({
      inner: row.inner,
      outer: row.outer,
      sent: row.sent,
      stored: row.stored,
    });
    expect(source.heldConnections).toBe(0);
  });
});
