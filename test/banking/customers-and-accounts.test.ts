import { ADAPTERS, BankUnderTest, expectBody, expectProblem, namedFields } from './bank-under-test.js';

describe.each(ADAPTERS)('customers and accounts on %s', (adapter) => {
  let bank: BankUnderTest;
  beforeAll(async () => {
    bank = await BankUnderTest.open({ adapter });
  });
  afterAll(async () => {
    await bank.close();
  });

  describe('POST /customers', () => {
    it('registers a customer', async () => {
      const answer = await bank.post('/customers', { name: 'Ada Lovelace', email: 'Ada@Example.com' });
      expect(expectBody(answer, 201)).toEqual({
        id: expect.stringMatching(/^\d+$/) as string,
        name: 'Ada Lovelace',
        email: 'ada@example.com',
        createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/) as string,
      });
    });

    it('answers 409 to an address that is taken, and keeps nothing of it', async () => {
      await bank.post('/customers', { name: 'Grace', email: 'grace@example.com' });
      const before = await bank.database.query('select count(*) from customers');
      const answer = await bank.post('/customers', { name: 'Another Grace', email: 'GRACE@example.com' });
      expectProblem(answer, 409, '/problems/already-exists');
      expect(await bank.database.query('select count(*) from customers')).toEqual(before);
    });

    it.each([
      ['nothing', {}, ['name', 'email']],
      ['a name that is no text', { name: 7, email: 'a@example.com' }, ['name']],
      ['an empty name', { name: '', email: 'a@example.com' }, ['name']],
      ['no address', { name: 'Ada', email: 'not an address' }, ['email']],
      ['a field too many', { name: 'Ada', email: 'a@example.com', admin: true }, ['admin']],
    ])('answers 400 and the field to %s', async (_, body, fields) => {
      const answer = await bank.post('/customers', body);
      expectProblem(answer, 400, '/problems/invalid-input');
      expect(namedFields(answer).sort()).toEqual([...fields].sort());
    });

    it('answers 400 to a body that is no JSON', async () => {
      expectProblem(await bank.post('/customers', '{"name": '), 400, 'about:blank');
    });
  });

  describe('POST /accounts', () => {
    it('opens an account', async () => {
      const customerId = await bank.register();
      const answer = await bank.post('/accounts', { customerId, currency: 'USD' });
      const account = expectBody<{ id: string }>(answer, 201);
      expect(account).toEqual({
        id: expect.stringMatching(/^\d+$/) as string,
        customerId,
        currency: 'USD',
        balance: '0',
        overdraftLimit: '0',
        status: 'active',
        version: 1,
        createdAt: expect.stringMatching(/Z$/) as string,
      });
      expect(answer.headers.get('location')).toBe(`/accounts/${account.id}`);
    });

    it('takes the opening deposit from the bank, by double entry', async () => {
      const { id } = await bank.openAccount({ openingDeposit: '12345', currency: 'GBP' });
      expect(await bank.balance(id)).toBe('12345');
      expect(
        await bank.database.query(
          `select a.kind, e.amount, e.balance_after from ledger_entries e join accounts a on a.id = e.account_id
            where e.currency = 'GBP' order by e.id`,
        ),
      ).toEqual([
        { kind: 'settlement', amount: '-12345', balance_after: '-12345' },
        { kind: 'customer', amount: '12345', balance_after: '12345' },
      ]);
    });

    it('answers 404 for a customer who does not exist', async () => {
      expectProblem(await bank.post('/accounts', { customerId: '999999', currency: 'EUR' }), 404, 'about:blank');
    });

    it.each([
      ['nothing', {}, ['customerId', 'currency']],
      ['an id that is none', { customerId: 'x1', currency: 'EUR' }, ['customerId']],
      ['an id beyond 64 bits', { customerId: '9223372036854775808', currency: 'EUR' }, ['customerId']],
      ['an id as a number', { customerId: 1, currency: 'EUR' }, ['customerId']],
      ['an unknown currency', { customerId: '1', currency: 'XXX' }, ['currency']],
      ['a deposit as a number', { customerId: '1', currency: 'EUR', openingDeposit: 100 }, ['openingDeposit']],
      ['a negative deposit', { customerId: '1', currency: 'EUR', openingDeposit: '-1' }, ['openingDeposit']],
      ['a decimal deposit', { customerId: '1', currency: 'EUR', openingDeposit: '1.50' }, ['openingDeposit']],
      ['a negative overdraft', { customerId: '1', currency: 'EUR', overdraftLimit: '-5' }, ['overdraftLimit']],
    ])('answers 400 and the field to %s', async (_, body, fields) => {
      const answer = await bank.post('/accounts', body);
      expectProblem(answer, 400, '/problems/invalid-input');
      expect(namedFields(answer).sort()).toEqual([...fields].sort());
    });
  });

  describe('GET /accounts/:id', () => {
    it('shows the account', async () => {
      const account = await bank.openAccount({ openingDeposit: '500', overdraftLimit: '100' });
      expect(await bank.account(account.id)).toEqual(account);
      expect(account).toMatchObject({ balance: '500', overdraftLimit: '100' });
    });

    it('answers 404 for an id that nobody has', async () => {
      expectProblem(await bank.get('/accounts/999999'), 404, 'about:blank');
    });

    it.each(['abc', '0', '-1', '007', '1e3', '9223372036854775808'])('answers 400 for %s', async (id) => {
      const answer = await bank.get(`/accounts/${id}`);
      expectProblem(answer, 400, '/problems/invalid-input');
      expect(namedFields(answer)).toEqual(['id']);
    });
  });

  describe('PATCH /accounts/:id', () => {
    it('freezes, thaws and closes', async () => {
      const { id, version } = await bank.openAccount();
      const frozen = expectBody(await bank.patch(`/accounts/${id}`, { status: 'frozen', version }), 200);
      expect(frozen).toMatchObject({ status: 'frozen', version: version + 1 });
      const thawed = expectBody(await bank.patch(`/accounts/${id}`, { status: 'active', version: version + 1 }), 200);
      expect(thawed).toMatchObject({ status: 'active', version: version + 2 });
      const closed = expectBody(await bank.patch(`/accounts/${id}`, { status: 'closed', version: version + 2 }), 200);
      expect(closed).toMatchObject({ status: 'closed', version: version + 3 });
      expect(await bank.account(id)).toEqual(closed);
    });

    it('answers 409 to a version that is past', async () => {
      const { id, version } = await bank.openAccount();
      await bank.setStatus(id, 'frozen');
      const answer = await bank.patch(`/accounts/${id}`, { status: 'closed', version });
      expectProblem(answer, 409, '/problems/conflict');
      expect(await bank.account(id)).toMatchObject({ status: 'frozen' });
    });

    it('answers 409 where the account changes between its read and its write', async () => {
      const { id, version } = await bank.openAccount();
      const rival = await bank.database.connect('test rival');
      await rival.query('begin');
      await rival.query('update accounts set version = version + 1, overdraft_limit = 77 where id = $1', [id]);
      const answer = bank.patch(`/accounts/${id}`, { status: 'frozen', version });
      await bank.untilWaiting(1);
      await rival.query('commit');
      expectProblem(await answer, 409, '/problems/conflict');
      expect(await bank.account(id)).toMatchObject({ status: 'active', overdraftLimit: '77', version: version + 1 });
    });

    it('answers 422 where money is left, or the account is closed', async () => {
      const full = await bank.openAccount({ openingDeposit: '1' });
      const { version } = await bank.account(full.id);
      expectProblem(
        await bank.patch(`/accounts/${full.id}`, { status: 'closed', version }),
        422,
        '/problems/account-not-empty',
      );
      const gone = await bank.openAccount();
      await bank.setStatus(gone.id, 'closed');
      expectProblem(
        await bank.patch(`/accounts/${gone.id}`, { status: 'active', version: gone.version + 1 }),
        422,
        '/problems/account-not-active',
      );
    });

    it("leaves the bank's own accounts alone", async () => {
      const [own] = await bank.database.query<{ id: string; version: number }>(
        `select id, version from accounts where kind = 'settlement' and currency = 'CHF'`,
      );
      const answer = await bank.patch(`/accounts/${own?.id}`, { status: 'frozen', version: own?.version });
      expectProblem(answer, 422, '/problems/bank-owned-account');
    });

    it('answers 404 for an id that nobody has, 400 and the fields to a body that is wrong', async () => {
      expectProblem(await bank.patch('/accounts/999999', { status: 'frozen', version: 1 }), 404, 'about:blank');
      const { id } = await bank.openAccount();
      expect(namedFields(await bank.patch(`/accounts/${id}`, { status: 'rich', version: 0 }))).toEqual([
        'status',
        'version',
      ]);
    });
  });
});
