import { randomUUID } from 'node:crypto';
import { ADAPTERS, BankUnderTest, expectBody, expectProblem, namedFields } from './bank-under-test.js';

describe.each(ADAPTERS)('transfers on %s', (adapter) => {
  let bank: BankUnderTest;
  beforeAll(async () => {
    bank = await BankUnderTest.open({ adapter });
  });
  afterAll(async () => {
    await bank.close();
  });

  async function twoAccounts(): Promise<[string, string]> {
    const source = await bank.openAccount({ openingDeposit: '1000' });
    const target = await bank.openAccount();
    return [source.id, target.id];
  }

  it('moves money, and writes two postings that sum to zero', async () => {
    const [from, to] = await twoAccounts();
    const answer = await bank.transfer({ from, to, amount: '250', reference: 'Coffee' });
    const transfer = expectBody<{ id: string }>(answer, 201);
    expect(transfer).toEqual({
      id: expect.stringMatching(/^\d+$/) as string,
      fromAccountId: from,
      toAccountId: to,
      amount: '250',
      currency: 'EUR',
      reference: 'Coffee',
      createdAt: expect.stringMatching(/Z$/) as string,
    });
    expect(answer.headers.get('location')).toBe(`/transfers/${transfer.id}`);
    expect(answer.headers.get('idempotency-replayed')).toBeNull();
    expect([await bank.balance(from), await bank.balance(to)]).toEqual(['750', '250']);
    expect(
      await bank.database.query(
        'select account_id, currency, amount, balance_after from ledger_entries where transfer_id = $1 order by id',
        [transfer.id],
      ),
    ).toEqual([
      { account_id: from, currency: 'EUR', amount: '-250', balance_after: '750' },
      { account_id: to, currency: 'EUR', amount: '250', balance_after: '250' },
    ]);
    expect(expectBody(await bank.get(`/transfers/${transfer.id}`), 200)).toEqual(transfer);
  });

  it('goes below zero as far as the overdraft allows, and no further', async () => {
    const { id: from } = await bank.openAccount({ openingDeposit: '10', overdraftLimit: '90' });
    const { id: to } = await bank.openAccount();
    expectProblem(await bank.transfer({ from, to, amount: '101' }), 422, '/problems/insufficient-funds');
    expectBody(await bank.transfer({ from, to, amount: '100' }), 201);
    expect(await bank.balance(from)).toBe('-90');
  });

  describe('refuses, and leaves no trace in the books', () => {
    it.each([
      ['insufficient funds', 422, '/problems/insufficient-funds', { amount: '1001' }],
      ['a currency that is not the accounts’', 422, '/problems/currency-mismatch', { currency: 'USD' }],
      ['an unknown source', 404, '/problems/unknown-account', { from: '999999' }],
      ['an unknown target', 404, '/problems/unknown-account', { to: '999999' }],
    ])('%s', async (_, status, type, change) => {
      const [from, to] = await twoAccounts();
      const before = await bank.books();
      const answer = await bank.transfer({ from, to, amount: '100', ...change });
      expectProblem(answer, status, type);
      expect(await bank.books()).toEqual({ ...before, records: String(Number(before.records) + 1) });
      expect([await bank.account(from), await bank.account(to)]).toMatchObject([
        { balance: '1000', version: 2 },
        { balance: '0', version: 1 },
      ]);
    });

    it.each(['frozen', 'closed'])('an account that is %s, on either side', async (status) => {
      const { id: open } = await bank.openAccount({ openingDeposit: '100' });
      const { id: shut } = await bank.openAccount();
      await bank.setStatus(shut, status);
      const before = await bank.books();
      for (const order of [
        // The first fails half way: the source has been debited when the target refuses.
        { from: open, to: shut },
        { from: shut, to: open },
      ]) {
        expectProblem(await bank.transfer({ ...order, amount: '1' }), 422, '/problems/account-not-active');
      }
      expect(await bank.books()).toMatchObject({ transfers: before.transfers, entries: before.entries });
      expect([await bank.balance(open), await bank.balance(shut)]).toEqual(['100', '0']);
    });

    it('accounts of different currencies', async () => {
      const { id: euros } = await bank.openAccount({ openingDeposit: '100' });
      const { id: dollars } = await bank.openAccount({ openingDeposit: '100', currency: 'USD' });
      for (const currency of ['EUR', 'USD']) {
        const answer = await bank.transfer({ from: euros, to: dollars, amount: '1', currency });
        expectProblem(answer, 422, '/problems/currency-mismatch');
      }
      expect([await bank.balance(euros), await bank.balance(dollars)]).toEqual(['100', '100']);
    });

    it("orders on the bank's own accounts", async () => {
      const { id: mine } = await bank.openAccount({ openingDeposit: '100' });
      const [own] = await bank.database.query<{ id: string }>(
        `select id from accounts where kind = 'settlement' and currency = 'EUR'`,
      );
      const banks = own?.id ?? '';
      expectProblem(await bank.transfer({ from: banks, to: mine, amount: '1' }), 422, '/problems/bank-owned-account');
      expectProblem(await bank.transfer({ from: mine, to: banks, amount: '1' }), 422, '/problems/bank-owned-account');
    });

    it('more than a balance can hold', async () => {
      const { id: to } = await bank.openAccount();
      const most = '999999999999999999';
      for (let i = 0; i < 9; i++) {
        const { id: from } = await bank.openAccount({ overdraftLimit: most });
        expectBody(await bank.transfer({ from, to, amount: most }), 201);
      }
      const { id: from } = await bank.openAccount({ overdraftLimit: most });
      const answer = await bank.transfer({ from, to, amount: most });
      expectProblem(answer, 422, '/problems/balance-limit-exceeded');
      expect([await bank.balance(from), await bank.balance(to)]).toEqual(['0', '8999999999999999991']);
    });
  });

  describe('answers 400 and the field to', () => {
    it.each([
      ['nothing', {}, ['fromAccountId', 'toAccountId', 'amount', 'currency']],
      ['an amount of zero', { amount: '0' }, ['amount']],
      ['a negative amount', { amount: '-5' }, ['amount']],
      ['a decimal amount', { amount: '1.5' }, ['amount']],
      ['an amount as a number', { amount: 5 }, ['amount']],
      ['an amount in another spelling', { amount: '1e3' }, ['amount']],
      ['an amount of too many digits', { amount: '1234567890123456789' }, ['amount']],
      ['an unknown currency', { currency: 'EURO' }, ['currency']],
      ['an account that is no id', { fromAccountId: 'mine' }, ['fromAccountId']],
      ['a transfer to itself', { toAccountId: '1' }, ['toAccountId']],
      ['a reference that is too long', { reference: 'x'.repeat(141) }, ['reference']],
      ['a field too many', { fee: '1' }, ['fee']],
    ])('%s', async (what, change, fields) => {
      const complete = { fromAccountId: '1', toAccountId: '2', amount: '100', currency: 'EUR' };
      const body = what === 'nothing' ? {} : { ...complete, ...change };
      const answer = await bank.post('/transfers', body, { 'Idempotency-Key': randomUUID() });
      expectProblem(answer, 400, '/problems/invalid-input');
      expect(namedFields(answer).sort()).toEqual([...fields].sort());
    });

    it.each([
      ['none', {}],
      ['an empty one', { 'Idempotency-Key': '' }],
      ['one with a space in it', { 'Idempotency-Key': 'a b' }],
      ['one that is too long', { 'Idempotency-Key': 'k'.repeat(256) }],
    ])('an Idempotency-Key: %s', async (_, headers: Record<string, string>) => {
      const [from, to] = await twoAccounts();
      const body = { fromAccountId: from, toAccountId: to, amount: '1', currency: 'EUR' };
      const answer = await bank.post('/transfers', body, headers);
      expectProblem(answer, 400, '/problems/invalid-input');
      expect(namedFields(answer)).toEqual(['Idempotency-Key']);
    });
  });

  it('answers 404 and 400 to GET /transfers/:id of what is no transfer', async () => {
    expectProblem(await bank.get('/transfers/999999'), 404, 'about:blank');
    const answer = await bank.get('/transfers/none');
    expectProblem(answer, 400, '/problems/invalid-input');
    expect(namedFields(answer)).toEqual(['id']);
  });

  it('carries out opposite orders at the same time without a deadlock', async () => {
    const [here, there] = [
      (await bank.openAccount({ openingDeposit: '1000' })).id,
      (await bank.openAccount({ openingDeposit: '1000' })).id,
    ];
    const orders = Array.from({ length: 20 }, (_, i) =>
      i % 2 === 0 ? { from: here, to: there, amount: '7' } : { from: there, to: here, amount: '5' },
    );
    const answers = await Promise.all(orders.map(async (order) => await bank.transfer(order)));
    expect(answers.map(({ status }) => status)).toEqual(orders.map(() => 201));
    expect([await bank.balance(here), await bank.balance(there)]).toEqual(['980', '1020']);
  });
});
