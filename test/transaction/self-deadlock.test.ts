import { transactionFixture } from './transaction-fixture.js';
import type { TransactionFixture } from './transaction-fixture.js';
import { thrownBy, until } from './waiting.js';

/** An inner transaction that waits for a lock of the one it suspended is found and refused. */

const DEADLOCK = { code: 'UOW_SELF_DEADLOCK' };
const NEW = { propagation: 'REQUIRES_NEW', label: 'Audit.write' } as const;

let fixture: TransactionFixture;
beforeAll(async () => {
  fixture = await transactionFixture({
    poolSize: 4,
    schema: `CREATE TABLE account (id int PRIMARY KEY);
             CREATE TABLE audit (account_id int REFERENCES account);
             CREATE TABLE late_audit (account_id int REFERENCES account DEFERRABLE INITIALLY DEFERRED);`,
  });
});
afterAll(async () => {
  await fixture.close();
});
beforeEach(async () => {
  await fixture.database.query('TRUNCATE note, audit, late_audit, account; INSERT INTO account VALUES (1)');
});
afterEach(async () => {
  expect(fixture.source.heldConnections).toBe(0);
  await fixture.database.untilNoTransaction();
});

test('an insert whose foreign key points at a row that the suspended transaction has locked', async () => {
  const { transactions, sql } = fixture;
  const error = await thrownBy(
    transactions.run({ label: 'Accounts.close' }, async () => {
      await sql('SELECT FROM account WHERE id = 1 FOR UPDATE');
      await transactions.run(NEW, () => sql('INSERT INTO audit VALUES (1)'));
    }),
  );
  expect(error).toMatchObject({
    ...DEADLOCK,
    message: expect.stringMatching(/Audit\.write.*Accounts\.close(.|\n)*INSERT INTO audit/) as string,
  });
});

test('two transactions further out', async () => {
  const { transactions, sql } = fixture;
  await expect(
    transactions.run({ label: 'Accounts.close' }, async () => {
      await sql('SELECT FROM account WHERE id = 1 FOR UPDATE');
      await transactions.run({ propagation: 'REQUIRES_NEW' }, async () => {
        await sql('SELECT 1');
        await transactions.run(NEW, () => sql('INSERT INTO audit VALUES (1)'));
      });
    }),
  ).rejects.toMatchObject({ ...DEADLOCK, message: expect.stringContaining('Accounts.close') as string });
});

test('at COMMIT, where the foreign key is deferred', async () => {
  const { transactions, sql } = fixture;
  await expect(
    transactions.run({ label: 'Accounts.close' }, async () => {
      await sql('SELECT FROM account WHERE id = 1 FOR UPDATE');
      await transactions.run(NEW, () => sql('INSERT INTO late_audit VALUES (1)'));
    }),
  ).rejects.toMatchObject(DEADLOCK);
});

test('the outer one may catch it and commit', async () => {
  const { transactions, sql, note } = fixture;
  await transactions.run(async () => {
    await sql('SELECT FROM account WHERE id = 1 FOR UPDATE');
    await thrownBy(transactions.run(NEW, () => sql('INSERT INTO audit VALUES (1)')));
    await note('outer');
  });
  expect(await fixture.notes()).toEqual(['outer']);
});

test('waiting for somebody else’s lock is no self-deadlock: it is waited for', async () => {
  const { transactions, sql, database } = fixture;
  const other = await database.connect();
  await other.query('BEGIN; SELECT FROM account WHERE id = 1 FOR UPDATE');
  let looks = 0;
  const work = transactions.run(async () => {
    await sql('SELECT 1');
    await transactions.run(NEW, () => sql('INSERT INTO audit VALUES (1)'));
  });
  await until(() => (looks = fixture.proxy.sql.filter((text) => text.includes('pg_blocking_pids')).length) >= 2);
  await other.query('COMMIT');
  await work;
  expect(looks).toBeGreaterThanOrEqual(2);
  expect(await database.query('SELECT account_id FROM audit')).toEqual([{ account_id: 1 }]);
});

test('the same insert in a scope that joins does not wait at all', async () => {
  const { transactions, sql } = fixture;
  await transactions.run(async () => {
    await sql('SELECT FROM account WHERE id = 1 FOR UPDATE');
    await transactions.run({ propagation: 'NESTED' }, () => sql('INSERT INTO audit VALUES (1)'));
  });
});
