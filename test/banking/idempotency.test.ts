import { randomUUID } from 'node:crypto';
import { ADAPTERS, type Answer, BankUnderTest, expectBody, expectProblem } from './bank-under-test.js';

describe.each(ADAPTERS)('Idempotency-Key on %s', (adapter) => {
  let bank: BankUnderTest;
  let from: string;
  let to: string;
  beforeAll(async () => {
    bank = await BankUnderTest.open({ adapter });
  });
  beforeEach(async () => {
    from = (await bank.openAccount({ openingDeposit: '1000' })).id;
    to = (await bank.openAccount()).id;
  });
  afterAll(async () => {
    await bank.close();
  });

  function expectSameAnswer(again: Answer, first: Answer): void {
    expect({ status: again.status, text: again.text, type: again.headers.get('content-type') }).toEqual({
      status: first.status,
      text: first.text,
      type: first.headers.get('content-type'),
    });
    expect(again.headers.get('location')).toBe(first.headers.get('location'));
  }

  it('gives the first answer again, and moves the money once', async () => {
    const key = randomUUID();
    const first = await bank.transfer({ from, to, amount: '100', reference: 'once' }, key);
    expectBody(first, 201);
    const again = await bank.transfer({ from, to, amount: '100', reference: 'once' }, key);
    expectSameAnswer(again, first);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(await bank.balance(from)).toBe('900');
  });

  it('tells orders apart by what they say, not by how it is spelled', async () => {
    const key = randomUUID();
    const first = await bank.transfer({ from, to, amount: '100' }, key);
    const respelled = `{ "currency":"EUR", "amount":"100", "toAccountId":"${to}", "fromAccountId":"${from}" }`;
    const again = await bank.post('/transfers', respelled, { 'Idempotency-Key': `"${key}"` });
    expectSameAnswer(again, first);
    expect(await bank.balance(from)).toBe('900');
  });

  it('refuses another order under the same key, whatever the first answer was', async () => {
    for (const amount of ['100', '999999']) {
      const key = randomUUID();
      const first = await bank.transfer({ from, to, amount }, key);
      const other = await bank.transfer({ from, to, amount: '1' }, key);
      expectProblem(other, 422, '/problems/idempotency-key-reused');
      // The first order keeps its answer.
      expectSameAnswer(await bank.transfer({ from, to, amount }, key), first);
    }
    expect(await bank.balance(from)).toBe('900');
  });

  it('repeats a refusal, even when the order would be accepted by now', async () => {
    const key = randomUUID();
    const refused = await bank.transfer({ from: to, to: from, amount: '50' }, key);
    expectProblem(refused, 422, '/problems/insufficient-funds');
    expectBody(await bank.transfer({ from, to, amount: '500' }), 201);
    expectSameAnswer(await bank.transfer({ from: to, to: from, amount: '50' }, key), refused);
    expect(await bank.balance(to)).toBe('500');
  });

  it('remembers nothing of a request that was not well formed', async () => {
    const key = randomUUID();
    expect(await bank.transfer({ from, to, amount: '-1' }, key)).toMatchObject({ status: 400 });
    expectBody(await bank.transfer({ from, to, amount: '1' }, key), 201);
  });

  it('makes one transfer of many requests at the same time', async () => {
    const key = randomUUID();
    const letGo = await bank.holdAccount(from);
    const requests = Array.from({ length: 6 }, async () => await bank.transfer({ from, to, amount: '100' }, key));
    // None has an answer on record yet: all of them are inside their transactions when the first commits.
    await bank.untilWaiting(6);
    await letGo();
    const answers = await Promise.all(requests);
    for (const answer of answers) expectBody(answer, 201);
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    expect(answers.filter(({ headers }) => headers.get('idempotency-replayed') === null)).toHaveLength(1);
    expect([await bank.balance(from), await bank.balance(to)]).toEqual(['900', '100']);
    expect(
      await bank.database.query('select count(*)::int made from transfers where from_account_id = $1', [from]),
    ).toEqual([{ made: 1 }]);
  });

  it('gives one answer to many requests of which all but the first would find no money left', async () => {
    const key = randomUUID();
    const letGo = await bank.holdAccount(from);
    const requests = Array.from({ length: 6 }, async () => await bank.transfer({ from, to, amount: '1000' }, key));
    await bank.untilWaiting(6);
    await letGo();
    const answers = await Promise.all(requests);
    expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
    expectBody(answers[0] as Answer, 201);
    expect(await bank.balance(to)).toBe('1000');
  });

  it('accepts one of two different orders at the same time under one key', async () => {
    const key = randomUUID();
    const letGo = await bank.holdAccount(from);
    const requests = ['1', '2'].map(async (amount) => await bank.transfer({ from, to, amount }, key));
    await bank.untilWaiting(2);
    await letGo();
    const answers = (await Promise.all(requests)).sort((a, b) => a.status - b.status);
    expect(answers.map(({ status }) => status)).toEqual([201, 422]);
    expectProblem(answers[1] as Answer, 422, '/problems/idempotency-key-reused');
    expect(await bank.balance(to)).toBe((answers[0] as Answer).body['amount']);
  });
});
