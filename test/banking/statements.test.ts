import { ADAPTERS, BankUnderTest, expectBody, expectProblem, namedFields } from './bank-under-test.js';

interface Statement {
  readonly accountId: string;
  readonly currency: string;
  readonly balance: string;
  readonly entries: readonly {
    readonly id: string;
    readonly transferId: string;
    readonly counterpartyAccountId: string;
    readonly amount: string;
    readonly balanceAfter: string;
    readonly reference: string | null;
    readonly createdAt: string;
  }[];
  readonly next: string | null;
}

describe.each(ADAPTERS)('GET /accounts/:id/statement on %s', (adapter) => {
  let bank: BankUnderTest;
  beforeAll(async () => {
    bank = await BankUnderTest.open({ adapter });
  });
  afterAll(async () => {
    await bank.close();
  });

  async function statement(id: string, query = ''): Promise<Statement> {
    return expectBody<Statement>(await bank.get(`/accounts/${id}/statement${query}`), 200);
  }

  it('shows what came and went, latest first', async () => {
    const { id } = await bank.openAccount({ openingDeposit: '100' });
    const { id: other } = await bank.openAccount();
    const out = expectBody<{ id: string; createdAt: string }>(
      await bank.transfer({ from: id, to: other, amount: '30', reference: 'Rent' }),
      201,
    );
    const back = expectBody<{ id: string }>(await bank.transfer({ from: other, to: id, amount: '5' }), 201);
    const page = await statement(id);
    expect(page).toMatchObject({ accountId: id, currency: 'EUR', balance: '75', next: null });
    expect(page.entries).toMatchObject([
      { transferId: back.id, counterpartyAccountId: other, amount: '5', balanceAfter: '75', reference: null },
      {
        transferId: out.id,
        counterpartyAccountId: other,
        amount: '-30',
        balanceAfter: '70',
        reference: 'Rent',
        createdAt: out.createdAt,
      },
      { amount: '100', balanceAfter: '100', reference: 'Opening deposit' },
    ]);
  });

  it('is empty for a new account', async () => {
    const { id } = await bank.openAccount();
    expect(await statement(id)).toEqual({ accountId: id, currency: 'EUR', balance: '0', entries: [], next: null });
  });

  it('pages without gaps or repetitions, also while entries are added', async () => {
    const { id } = await bank.openAccount({ openingDeposit: '100' });
    const { id: other } = await bank.openAccount();
    for (let i = 0; i < 6; i++) await bank.transfer({ from: id, to: other, amount: '1' });
    const whole = (await statement(id)).entries;
    expect(whole).toHaveLength(7);

    const paged = [];
    let query = '?limit=3';
    for (const length of [3, 3, 1]) {
      const page = await statement(id, query);
      expect(page.entries).toHaveLength(length);
      paged.push(...page.entries);
      await bank.transfer({ from: id, to: other, amount: '1' });
      query = `?limit=3&before=${page.next}`;
      if (length === 1) expect(page.next).toBeNull();
    }
    expect(paged).toEqual(whole);
  });

  it('says that there is no next page when the last one is full', async () => {
    const { id } = await bank.openAccount({ openingDeposit: '100' });
    expect(await statement(id, '?limit=1')).toMatchObject({ entries: [{ amount: '100' }], next: null });
  });

  it('answers 404 for an id that nobody has', async () => {
    expectProblem(await bank.get('/accounts/999999/statement'), 404, '/problems/unknown-account');
  });

  it.each([
    ['limit=0', ['limit']],
    ['limit=201', ['limit']],
    ['limit=many', ['limit']],
    ['limit=1.5', ['limit']],
    ['before=now', ['before']],
    ['offset=5', ['offset']],
  ])('answers 400 and the field to %s', async (query, fields) => {
    const { id } = await bank.openAccount();
    const answer = await bank.get(`/accounts/${id}/statement?${query}`);
    expectProblem(answer, 400, '/problems/invalid-input');
    expect(namedFields(answer)).toEqual(fields);
  });

  it('answers 400 to an id that is none', async () => {
    expect(namedFields(await bank.get('/accounts/x/statement'))).toEqual(['id']);
  });
});
