import fc from 'fast-check';
import { ambientTransaction } from '../../libs/uow/src/transaction/ambient.js';
import { prepares } from '../support/tried-options.js';
import { transactionFixture } from './transaction-fixture.js';
import type { TransactionFixture } from './transaction-fixture.js';

/** What a batch writes to the server, and what it reads from it. */

let fixture: TransactionFixture;
beforeAll(async () => {
  fixture = await transactionFixture({ poolSize: 1, schema: 'CREATE TABLE thing (id int PRIMARY KEY, label text)' });
});
afterAll(async () => {
  await fixture.close();
});

const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 60 }),
  fc.string({ unit: 'binary-ascii', minLength: 40, maxLength: 3_000 }),
  fc.constantFrom('', 'é'.repeat(47), '𝄞'.repeat(24), `${'a'.repeat(48)}ß`),
);
const value = fc.oneof(
  fc.constant(null),
  text.map((one) => one.replaceAll('\0', '')),
  fc.uint8Array({ maxLength: 5_000 }).map((bytes) => Buffer.from(bytes)),
);

test('values of any length and script arrive as they were given, several statements at once', async () => {
  const { transactions } = fixture;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(value, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 4 }),
      async (lists) => {
        const results = await transactions.run(() =>
          ambientTransaction(fixture.source)!.run(
            lists.map((values) => ({
              text: `SELECT ${values.map((one, at) => `$${at + 1}::${Buffer.isBuffer(one) ? 'bytea' : 'text'}`).join(', ')}`,
              values,
              rowMode: 'array' as const,
            })),
          ),
        );
        expect(results.map(({ rows }) => rows[0] as unknown)).toEqual(lists);
      },
    ),
    { numRuns: 200 },
  );
});

(prepares ? describe : describe.skip)('a statement that the server knows', () => {
  const label = { text: 'SELECT id, label FROM thing ORDER BY id' };
  const read = (rowMode: 'object' | 'array'): Promise<unknown[]> =>
    fixture.transactions.run(async () => {
      const [result] = await ambientTransaction(fixture.source)!.run([{ ...label, rowMode }]);
      return result!.rows;
    });

  test('does not tell its columns again, and gives the same rows as objects and as arrays', async () => {
    const { proxy, database } = fixture;
    await database.query("INSERT INTO thing VALUES (1, 'one'), (2, NULL)");
    await read('object');
    const first = await proxy.record(() => read('array'));
    const bytes = first.bytesToClient;
    expect(await read('object')).toEqual([
      { id: 1, label: 'one' },
      { id: 2, label: null },
    ]);
    expect(await read('array')).toEqual([
      [1, 'one'],
      [2, null],
    ]);
    const simple = await proxy.record(() =>
      fixture.transactions.run(() =>
        ambientTransaction(fixture.source)!.run([{ ...label, rowMode: 'array', prepare: false }]),
      ),
    );
    expect(simple.bytesToClient).toBeGreaterThan(bytes);
  });

  test('is parsed anew after its table has changed', async () => {
    const { database } = fixture;
    await database.query("TRUNCATE thing; INSERT INTO thing VALUES (1, 'one')");
    await read('object');
    await database.query('ALTER TABLE thing ALTER label TYPE varchar(20), ALTER id TYPE bigint');
    await expect(read('object')).rejects.toThrow('cached plan must not change result type');
    expect(await read('object')).toEqual([{ id: '1', label: 'one' }]);
    expect(await read('array')).toEqual([['1', 'one']]);
  });
});
