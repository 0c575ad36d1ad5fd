import type { Client } from 'pg';
import { migrate } from '../../apps/banking/src/database/migrate.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';

/** What the tables refuse by themselves, whatever the code above them does. */
describe('the schema of the bank', () => {
  let database: TestDatabase;
  let client: Client;
  beforeAll(async () => {
    database = await createTestDatabase();
    await migrate(database.address);
    client = await database.connect('test teller');
    await client.query(`insert into customers (name, email) values ('Ada', 'ada@example.com')`);
    await client.query(
      `insert into accounts (kind, customer_id, currency, balance, overdraft_limit, status, version)
       select 'customer', id, currency, 100, 0, 'active', 1
         from customers, unnest(array['EUR', 'EUR', 'USD']) currency`,
    );
  });
  afterAll(async () => {
    await database.drop();
  });

  /** Ids of two accounts in EUR and one in USD. */
  async function accounts(): Promise<[string, string, string]> {
    const { rows } = await client.query<{ id: string }>(`select id from accounts where kind = 'customer' order by id`);
    return rows.map(({ id }) => id) as [string, string, string];
  }

  /** Runs the statements as one transaction, and gives the SQLSTATE and the constraint that it fails with. */
  async function refusal(...statements: string[]): Promise<string> {
    await client.query('begin');
    try {
      for (const statement of statements) await client.query(statement);
      await client.query('commit');
      return 'accepted';
    } catch (error) {
      const { code, constraint } = error as { code: string; constraint?: string };
      return constraint === undefined ? code : `${code} ${constraint}`;
    } finally {
      await client.query('rollback');
    }
  }

  function transfer(from: string, to: string, currency: string, amount: number, postings: [string, number][]): string {
    const entries = postings
      .map(([account, sum]) => `select id, ${account}, '${currency}', ${sum}, 0 from made`)
      .join(' union all ');
    return `with made as (
        insert into transfers (from_account_id, to_account_id, currency, amount)
        values (${from}, ${to}, '${currency}', ${amount}) returning id)
      ${entries === '' ? 'select from made' : `insert into ledger_entries (transfer_id, account_id, currency, amount, balance_after) ${entries}`}`;
  }

  it('is made once, however many ask for it at the same time', async () => {
    await using fresh = await createTestDatabase();
    await Promise.all([migrate(fresh.address), migrate(fresh.address), migrate(fresh.address)]);
    await migrate(fresh.address);
    expect(await fresh.query('select name from migrations')).toEqual([{ name: 'OpenTheBank1763800000000' }]);
    await fresh.untilNoConnection();
  });

  it('accepts a transfer whose postings carry it over', async () => {
    const [a, b] = await accounts();
    expect(await refusal(transfer(a, b, 'EUR', 5, [[a, -5], [b, 5]]))).toBe('accepted'); // prettier-ignore
  });

  it('keeps a balance from falling below zero, or below the overdraft', async () => {
    const [a] = await accounts();
    expect(await refusal(`update accounts set balance = -1 where id = ${a}`)).toBe('23514 accounts_balance_covered');
    expect(await refusal(`update accounts set balance = -1, overdraft_limit = 1 where id = ${a}`)).toBe('accepted');
    await client.query(`update accounts set balance = 100, overdraft_limit = 0 where id = ${a}`);
  });

  it('closes an account only when it is empty', async () => {
    const [a] = await accounts();
    expect(await refusal(`update accounts set status = 'closed' where id = ${a}`)).toBe('23514 accounts_closed_empty');
  });

  it('knows one settlement account for each currency, which no customer owns', async () => {
    expect(
      await refusal(`insert into accounts (kind, currency, balance, overdraft_limit, status, version)
                     values ('settlement', 'EUR', 0, 0, 'active', 1)`),
    ).toBe('23505 accounts_one_settlement_each');
    const [a] = await accounts();
    expect(await refusal(`update accounts set customer_id = null where id = ${a}`)).toBe(
      '23514 accounts_settlement_is_the_banks',
    );
  });

  it.each([
    ['of nothing', 0, '23514 transfers_amount_check'],
    ['of less', -5, '23514 transfers_amount_check'],
  ])('refuses a transfer %s', async (_, amount, expected) => {
    const [a, b] = await accounts();
    expect(await refusal(transfer(a, b, 'EUR', amount, []))).toBe(expected);
  });

  it('refuses a transfer from an account to itself', async () => {
    const [a] = await accounts();
    expect(await refusal(transfer(a, a, 'EUR', 5, []))).toBe('23514 transfers_two_accounts');
  });

  it('refuses a transfer or a posting in a currency that is not the account’s', async () => {
    const [a, b, dollars] = await accounts();
    expect(await refusal(transfer(a, dollars, 'EUR', 5, []))).toBe('23503 transfers_to_account');
    expect(await refusal(transfer(dollars, a, 'EUR', 5, []))).toBe('23503 transfers_from_account');
    expect(await refusal(transfer(a, b, 'EUR', 5, [[dollars, 5]]))).toBe('23503 ledger_entries_account');
  });

  it.each<[string, (a: string, b: string) => [string, number][]]>([
    ['without postings', () => []],
    ['with one posting', (a) => [[a, -5]]],
    ['whose postings do not sum to zero', (a, b) => [[a, -5], [b, 6]]], // prettier-ignore
    ['whose postings go the other way', (a, b) => [[a, 5], [b, -5]]], // prettier-ignore
    ['whose postings are of another amount', (a, b) => [[a, -4], [b, 4]]], // prettier-ignore
  ])('refuses a transfer %s, at commit', async (_, postings) => {
    const [a, b] = await accounts();
    expect(await refusal(transfer(a, b, 'EUR', 5, postings(a, b)))).toBe('23514 transfer_is_posted');
  });

  it('refuses a posting to a transfer that has its two', async () => {
    const [a, b] = await accounts();
    await client.query(transfer(a, b, 'EUR', 5, [[a, -5], [b, 5]])); // prettier-ignore
    expect(
      await refusal(`insert into ledger_entries (transfer_id, account_id, currency, amount, balance_after)
        select max(t.id), (select id from accounts where kind = 'settlement' and currency = 'EUR'), 'EUR', 1, 0
          from transfers t`),
    ).toBe('23514 transfer_is_posted');
  });

  it.each(['transfers', 'ledger_entries'])('never changes what is in %s', async (table) => {
    expect(await refusal(`update ${table} set amount = amount`)).toBe('23001');
    expect(await refusal(`delete from ${table}`)).toBe('23001');
    expect(await refusal(`truncate ${table} cascade`)).toBe('23001');
  });

  it('knows one answer for each idempotency key', async () => {
    const record = (key: string, refused: string): string =>
      `insert into idempotency_records (key, fingerprint, transfer_id, refusal) values ('${key}', 'f', null, ${refused})`;
    expect(await refusal(record('k', `'{}'`))).toBe('accepted');
    expect(await refusal(record('k', `'{}'`))).toBe('23505 idempotency_records_key_unique');
    expect(await refusal(record('l', 'null'))).toBe('23514 idempotency_records_one_answer');
  });
});
