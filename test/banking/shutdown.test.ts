import { once } from 'node:events';
import { Agent, type IncomingMessage, request as httpRequest, type Server } from 'node:http';
import { randomUUID } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { ADAPTERS, BankUnderTest } from './bank-under-test.js';

interface Sent {
  /** Ends the connection without waiting for the answer. */
  hangUp(): void;
  readonly answer: Promise<{ status: number | undefined; connection: string | undefined; body: string }>;
}

describe.each(ADAPTERS)('the end of things on %s', (adapter) => {
  let bank: BankUnderTest;
  let from: string;
  let to: string;
  beforeEach(async () => {
    bank = await BankUnderTest.open({ adapter });
    from = (await bank.openAccount({ openingDeposit: '1000' })).id;
    to = (await bank.openAccount()).id;
  });
  afterEach(async () => {
    await bank.close();
  });

  /** Sends an order so that the test has the connection in its hand. */
  function send(agent: Agent, key: string = randomUUID()): Sent {
    const request = httpRequest(`${bank.url}/transfers`, {
      method: 'POST',
      agent,
      headers: { 'Content-Type': 'application/json', 'Idempotency-Key': key },
    });
    const answer = once(request, 'response').then(async ([response]: IncomingMessage[]) => ({
      status: response?.statusCode,
      connection: response?.headers.connection,
      body: response === undefined ? '' : await text(response),
    }));
    answer.catch(() => undefined);
    request.end(JSON.stringify({ fromAccountId: from, toAccountId: to, amount: '100', currency: 'EUR' }));
    return {
      hangUp: () => {
        request.destroy();
      },
      answer,
    };
  }

  function listening(): boolean {
    return (bank.app.getHttpServer() as Server).listening;
  }

  async function until(happened: () => boolean): Promise<void> {
    while (!happened()) await new Promise((resolve) => setTimeout(resolve, 1));
  }

  it('answers what it has begun before it closes, and takes nothing new', async () => {
    // Connections that their clients mean to keep.
    const agent = new Agent({ keepAlive: true });
    const letGo = await bank.holdAccount(from);
    const sent = [send(agent), send(agent), send(agent)];
    await bank.untilWaiting(3);

    let closed = false;
    const closing = bank.app.close().then(() => {
      closed = true;
    });
    await until(() => !listening());
    await expect(bank.get('/health')).rejects.toThrow('fetch failed');
    expect(closed).toBe(false);

    await letGo();
    for (const { answer } of sent) {
      const { status, connection, body } = await answer;
      expect({ status, connection }).toEqual({ status: 201, connection: 'close' });
      expect(JSON.parse(body)).toMatchObject({ amount: '100' });
    }
    await closing;
    await bank.database.untilNoConnection();
    expect(await bank.database.query('select balance from accounts where id = $1', [from])).toEqual([
      { balance: '700' },
    ]);
    agent.destroy();
  });

  it('closes at once when nobody wants anything, also with connections that are kept', async () => {
    const agent = new Agent({ keepAlive: true });
    await send(agent).answer;
    await bank.app.close();
    await bank.database.untilNoConnection();
    agent.destroy();
  });

  it('leaves nothing open behind a client that hangs up', async () => {
    const agent = new Agent();
    const letGo = await bank.holdAccount(from);
    const key = randomUUID();
    const sent = send(agent, key);
    await bank.untilWaiting(1);
    expect(bank.pool.totalCount - bank.pool.idleCount).toBe(1);
    sent.hangUp();
    await expect(sent.answer).rejects.toThrow('socket hang up');
    await letGo();

    await bank.database.untilNoTransaction();
    await until(() => bank.pool.idleCount === bank.pool.totalCount);
    expect(bank.pool.waitingCount).toBe(0);
    // The order was carried out; who comes back with the key is told so.
    const again = await bank.transfer({ from, to, amount: '100' }, key);
    expect({ status: again.status, replayed: again.headers.get('idempotency-replayed') }).toEqual({
      status: 201,
      replayed: 'true',
    });
    expect(await bank.balance(from)).toBe('900');
  });

  it('leaves nothing open behind a crowd that hangs up, some of it before there is a connection for it', async () => {
    const agent = new Agent();
    const letGo = await bank.holdAccount(from);
    const sent = Array.from({ length: 25 }, () => send(agent));
    await bank.untilWaiting(10);
    await until(() => bank.pool.waitingCount > 0);
    for (const one of sent) one.hangUp();
    await Promise.allSettled(sent.map(async ({ answer }) => await answer));
    await letGo();

    await until(() => bank.pool.waitingCount === 0 && bank.pool.idleCount === bank.pool.totalCount);
    await bank.database.untilNoTransaction();
    const [books] = await bank.database.query<{ balance: string; moved: string }>(
      `select (select balance from accounts where id = $1) balance,
              (select 1000 - count(*) * 100 from transfers where from_account_id = $1) moved`,
      [from],
    );
    expect(books?.balance).toBe(books?.moved);
  });

  it('borrows no connection for requests that need none', async () => {
    let borrowed = 0;
    bank.pool.on('acquire', () => borrowed++);
    for (const path of ['/nowhere', '/docs-json', '/accounts/none', '/transfers/none']) await bank.get(path);
    await bank.post('/transfers', {});
    expect(borrowed).toBe(0);
    await bank.get(`/accounts/${from}`);
    expect(borrowed).toBe(1);
  });
});
