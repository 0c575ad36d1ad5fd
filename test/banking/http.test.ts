import { request as httpRequest } from 'node:http';
import type { pino } from 'pino';
import { createLog } from '../../apps/banking/src/logging/log.js';
import { ADAPTERS, BankUnderTest, expectBody, expectProblem } from './bank-under-test.js';

interface LogLine {
  readonly level: string;
  readonly time: string;
  readonly msg?: string;
  readonly requestId?: string;
  readonly context?: string;
  readonly req?: { readonly method: string; readonly url: string };
  readonly res?: { readonly statusCode: number };
}

describe.each(ADAPTERS)('around every request on %s', (adapter) => {
  let bank: BankUnderTest;
  const lines: string[] = [];
  beforeAll(async () => {
    bank = await BankUnderTest.open({
      adapter,
      log: createLog('info', {
        write(line: string) {
          lines.push(line);
        },
      }),
    });
  });
  afterAll(async () => {
    await bank.close();
  });

  /** The lines about one request. The one about its end may come a moment after its answer. */
  async function logOf(requestId: string): Promise<LogLine[]> {
    for (let look = 0; look < 1000; look++) {
      const found = lines.map((line) => JSON.parse(line) as LogLine).filter((line) => line.requestId === requestId);
      if (found.some(({ res }) => res !== undefined)) return found;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    throw new Error(`No line about the end of ${requestId}`);
  }

  describe('GET /health', () => {
    it('says that the database can be reached', async () => {
      expect(expectBody(await bank.get('/health'), 200)).toMatchObject({
        status: 'ok',
        details: { database: { status: 'up' } },
      });
    });

    it('answers 503 as a problem when it cannot', async () => {
      await using other = await BankUnderTest.open({ adapter });
      await other.database.drop();
      const answer = await other.get('/health');
      expectProblem(answer, 503, 'about:blank');
      expect(answer.body).toMatchObject({ details: { database: { status: 'down' } } });
    });
  });

  it('describes itself in OpenAPI', async () => {
    const { paths, components } = expectBody<{
      paths: Record<string, Record<string, { responses: Record<string, unknown> }>>;
      components: { schemas: Record<string, { properties: Record<string, unknown> }> };
    }>(await bank.get('/docs-json'), 200);
    expect(Object.keys(paths).sort()).toEqual([
      '/accounts',
      '/accounts/{id}',
      '/accounts/{id}/statement',
      '/customers',
      '/health',
      '/transfers',
      '/transfers/{id}',
    ]);
    expect(Object.keys(paths['/transfers']?.['post']?.responses ?? {})).toEqual(['201', '400', '404', '409', '422']);
    expect(components.schemas['MakeTransfer']?.properties['amount']).toMatchObject({
      type: 'string',
      pattern: '^[1-9]\\d{0,17}$',
    });
  });

  if (adapter === 'express') {
    it('shows the description to people at /docs', async () => {
      const answer = await bank.get('/docs');
      expect(answer.status).toBe(200);
      expect(answer.headers.get('content-type')).toMatch('text/html');
      expect((await bank.get('/docs/swagger-ui-bundle.js')).status).toBe(200);
    });
  }

  it.each([
    ['a route that does not exist', 'GET', '/nowhere', undefined, 404],
    ['a method that a route does not have', 'DELETE', '/accounts/1', undefined, 404],
    ['a body that is too large', 'POST', '/customers', { name: 'x'.repeat(2_000_000) }, 413],
  ])('answers a problem to %s', async (_, method, path, body, status) => {
    expectProblem(await bank.send(method, path, body), status, 'about:blank');
  });

  it('tells nothing of its insides when it breaks', async () => {
    await using broken = await BankUnderTest.open({ adapter });
    await broken.database.query('drop table idempotency_records, ledger_entries, transfers, accounts cascade');
    const answer = await broken.get('/accounts/1');
    expectProblem(answer, 500, 'about:blank');
    expect(answer.body).toEqual({ type: 'about:blank', title: 'Internal Server Error', status: 500 });
  });

  describe('the request id', () => {
    it('is the client’s, in the answer and in the log', async () => {
      const answer = await bank.get('/accounts/999999', { 'X-Request-Id': `order-66.${adapter}` });
      expect(answer.headers.get('x-request-id')).toBe(`order-66.${adapter}`);
      expect(await logOf(`order-66.${adapter}`)).toMatchObject([
        { level: 'info', req: { method: 'GET', url: '/accounts/999999' }, res: { statusCode: 404 } },
      ]);
    });

    it('is a new one where the client sends none, or nonsense', async () => {
      const ids = [
        (await bank.get('/health')).headers.get('x-request-id'),
        (await bank.get('/health', { 'X-Request-Id': 'a b' })).headers.get('x-request-id'),
        (await bank.get('/health', { 'X-Request-Id': 'x'.repeat(129) })).headers.get('x-request-id'),
      ];
      for (const id of ids) expect(id).toMatch(/^[0-9a-f-]{36}$/);
      expect(new Set(ids).size).toBe(3);
    });

    it('is on every line that the request caused', async () => {
      const log: string[] = [];
      await using broken = await BankUnderTest.open({
        adapter,
        log: createLog('info', { write: (line: string) => void log.push(line) }),
      });
      await broken.database.query('drop table idempotency_records');
      await broken.transfer({ from: '1', to: '2', amount: '1' });
      await broken.app.close();
      const told = log.map((line) => JSON.parse(line) as LogLine).filter(({ level }) => level === 'error');
      expect(told).toMatchObject([{ context: 'http' }, { res: { statusCode: 500 } }]);
      expect(told[0]?.requestId).toMatch(/^[0-9a-f-]{36}$/);
      expect(told[1]?.requestId).toBe(told[0]?.requestId);
    });

    it('stays with its own request when many run at once', async () => {
      const ids = Array.from({ length: 20 }, (_, i) => `parallel-${adapter}-${i}`);
      await Promise.all(ids.map(async (id) => await bank.get(`/accounts/${id}`, { 'X-Request-Id': id })));
      for (const id of ids) {
        expect(await logOf(id)).toMatchObject([{ req: { url: `/accounts/${id}` } }]);
      }
    });
  });

  it('never logs what a customer says, not even when it breaks', async () => {
    const log: string[] = [];
    await using broken = await BankUnderTest.open({
      adapter,
      log: createLog('trace', { write: (line: string) => void log.push(line) }),
    });
    const secret = { name: 'Secret Person', email: 'secret.person@example.com' };
    expectBody(await broken.post('/customers', secret), 201);
    expectProblem(await broken.post('/customers', secret), 409, '/problems/already-exists');
    expectProblem(await broken.post('/customers', { ...secret, email: 'secret' }), 400, '/problems/invalid-input');
    await broken.database.query('alter table customers add check (length(name) < 5) not valid');
    expectProblem(await broken.post('/customers', { ...secret, email: 'secret@example.com' }), 500, 'about:blank');
    await broken.app.close();
    expect(log.filter((line) => line.includes('"err"'))).toHaveLength(1);
    expect(log.join('')).not.toMatch(/secret/i);
  });

  it('logs a client that went away', async () => {
    const { id } = await bank.openAccount();
    const letGo = await bank.holdAccount(id);
    const { id: from } = await bank.openAccount({ openingDeposit: '1' });
    const gone = httpRequest(`${bank.url}/transfers`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'Idempotency-Key': 'gone', 'X-Request-Id': `gone-${adapter}` },
    });
    gone.on('error', () => undefined);
    gone.end(JSON.stringify({ fromAccountId: from, toAccountId: id, amount: '1', currency: 'EUR' }));
    await bank.untilWaiting(1);
    gone.destroy();
    expect(await logOf(`gone-${adapter}`)).toMatchObject([{ level: 'warn', msg: 'request aborted' }]);
    await letGo();
  });
});

it('writes one JSON object a line, with level and time as words', () => {
  const lines: string[] = [];
  const log: pino.Logger = createLog('info', { write: (line: string) => void lines.push(line) });
  log.info({ context: 'test' }, 'hello');
  expect(JSON.parse(lines.join(''))).toEqual({
    level: 'info',
    time: expect.stringMatching(/Z$/) as string,
    context: 'test',
    msg: 'hello',
  });
});
