import { type ChildProcessWithoutNullStreams, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { promisify } from 'node:util';
import { parsePort, PortUnavailable } from '../../apps/banking/src/start/listen.js';
import { CompiledSources } from '../support/compiled-sources.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { BankUnderTest } from './bank-under-test.js';

const run = promisify(execFile);

/** Each test starts whole processes. */
const TIMEOUT_MS = 120_000;

let compiled: CompiledSources;
beforeAll(async () => {
  compiled = await CompiledSources.of('apps/banking/src');
});
afterAll(async () => {
  await compiled[Symbol.asyncDispose]();
});

/** A program of the bank in a process of its own, and what it has said. */
class Program implements AsyncDisposable {
  output = '';
  errors = '';
  readonly ended: Promise<number | null>;

  private constructor(readonly process: ChildProcessWithoutNullStreams) {
    process.stdout.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    process.stderr.setEncoding('utf8').on('data', (text: string) => (this.errors += text));
    this.ended = once(process, 'close').then(([code]: (number | null)[]) => code ?? null);
  }

  static start(program: 'main' | 'demo', env: Record<string, string | undefined>, ...args: string[]): Program {
    return new Program(
      spawn(process.execPath, [compiled.programOf(`apps/banking/src/${program}.ts`), ...args], {
        env: { ...process.env, NODE_OPTIONS: '', LOG_LEVEL: 'error', PORT: '', HOST: '', ...env },
      }),
    );
  }

  /** Where the bank says it is. */
  async url(): Promise<string> {
    return (await this.until(/The bank is open: (\S+)[^]*statement\?limit=5'\n/))[1] as string;
  }

  async until(text: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = text.exec(this.output);
      if (found !== null) return found;
      if (this.process.exitCode !== null) throw new Error(`It ended:\n${this.output}\n${this.errors}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** Ends it as an operator would, and waits. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    this.process.kill(signal);
    return await this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.process.exitCode === null) await this.stop();
  }
}

async function listenOn(port: number): Promise<{ server: Server; port: number }> {
  const server = createServer();
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return { server, port: (server.address() as { port: number }).port };
}

describe('npm start', () => {
  let database: TestDatabase;
  let env: { DATABASE_URL: string; PORT: string };
  beforeEach(async () => {
    database = await createTestDatabase();
    env = { DATABASE_URL: database.url, PORT: '0' };
  });
  afterEach(async () => {
    await database.drop();
  });

  it(
    'makes the schema and a demo bank, and prints three lines that work',
    async () => {
      await using bank = Program.start('main', env);
      const url = await bank.url();
      expect(await (await fetch(`${url}/health`)).json()).toMatchObject({ status: 'ok' });
      const lines = bank.output.split('\n').filter((line) => line.startsWith('  curl '));
      expect(lines).toHaveLength(3);
      const answers: unknown[] = [];
      for (const line of lines) answers.push(JSON.parse((await run('sh', ['-c', line])).stdout));
      expect(answers).toMatchObject([
        { currency: 'EUR', balance: '250000' },
        { amount: '100', reference: 'Coffee' },
        { balance: '249900', entries: [{ amount: '-100' }, { amount: '250000' }] },
      ]);
      expect(await bank.stop()).toBe(0);
      await database.untilNoConnection();
    },
    TIMEOUT_MS,
  );

  it(
    'may be done twice at once, and again',
    async () => {
      await using one = Program.start('main', env);
      await using two = Program.start('main', env);
      await Promise.all([one.url(), two.url()]);
      const count = `select (select count(*)::int from migrations) migrations,
                          (select count(*)::int from customers) customers,
                          (select count(*)::int from accounts where kind = 'customer') accounts`;
      expect(await database.query(count)).toEqual([{ migrations: 1, customers: 2, accounts: 3 }]);
      await Promise.all([one.stop(), two.stop()]);
      await using again = Program.start('main', env);
      await again.url();
      expect(await database.query(count)).toEqual([{ migrations: 1, customers: 2, accounts: 3 }]);
    },
    TIMEOUT_MS,
  );

  it(
    'says so when its PORT is taken',
    async () => {
      const taken = await listenOn(0);
      await using bank = Program.start('main', { ...env, PORT: String(taken.port) });
      expect(await bank.ended).toBe(1);
      expect(bank.errors).toBe(
        `Port ${taken.port} is taken. Choose another PORT, or leave PORT out to get the next free one.\n`,
      );
      taken.server.close();
      await database.untilNoConnection();
    },
    TIMEOUT_MS,
  );

  it(
    'says so when its PORT is none',
    async () => {
      await using bank = Program.start('main', { ...env, PORT: 'http' });
      expect(await bank.ended).toBe(1);
      expect(bank.errors).toBe("PORT must be a number from 0 to 65535, not 'http'.\n");
    },
    TIMEOUT_MS,
  );

  it(
    'takes the next free port without one',
    async () => {
      // Whoever has 3000, us or somebody else: it is taken.
      const taken = await listenOn(3000).catch(() => undefined);
      await using bank = Program.start('main', { ...env, PORT: undefined });
      const port = Number(new URL(await bank.url()).port);
      expect(port).toBeGreaterThan(3000);
      expect(port).toBeLessThan(3100);
      taken?.server.close();
    },
    TIMEOUT_MS,
  );

  it.each<NodeJS.Signals>(['SIGTERM', 'SIGINT'])(
    'answers what it has begun after a %s',
    async (signal) => {
      await using bank = Program.start('main', env);
      const url = await bank.url();
      const [source, target] = await database.query<{ id: string }>(
        `select id from accounts where kind = 'customer' and currency = 'EUR' order by id`,
      );
      const holder = await database.connect('test holder');
      await holder.query('begin');
      await holder.query('select from accounts where id = $1 for no key update', [source?.id]);
      const answer = fetch(`${url}/transfers`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', 'Idempotency-Key': 'the-last-one' },
        body: JSON.stringify({ fromAccountId: source?.id, toAccountId: target?.id, amount: '5', currency: 'EUR' }),
      });
      await database.untilActivity((rows) => rows.some(({ waitEventType }) => waitEventType === 'Lock'));
      bank.process.kill(signal);
      await bank.until(/closes once its last request is answered/);
      // As when a terminal and npm both pass a Ctrl-C on.
      bank.process.kill(signal);
      await holder.query('rollback');
      expect(await (await answer).json()).toMatchObject({ amount: '5' });
      expect(await bank.ended).toBe(0);
      expect(await database.query('select amount from transfers where reference is null')).toEqual([{ amount: '5' }]);
      await database.untilNoConnection();
    },
    TIMEOUT_MS,
  );

  it(
    'says so when the database cannot be reached',
    async () => {
      const free = await listenOn(0);
      free.server.close();
      await once(free.server, 'close');
      await using bank = Program.start('main', {
        ...env,
        DATABASE_URL: `postgres://nobody@127.0.0.1:${free.port}/none`,
      });
      expect(await bank.ended).toBe(1);
      expect(bank.errors).toMatch('ECONNREFUSED');
    },
    TIMEOUT_MS,
  );
});

it.each(['-1', '65536', '3000.5', ' '])('takes %j for no PORT', (port) => {
  expect(() => parsePort(port)).toThrow(PortUnavailable);
});

describe('npm run demo', () => {
  const story = [
    '1. Ada sends Grace 25.00 EUR.',
    '   201 transfer ',
    '   Ada          75.00 EUR\n   Grace        75.00 EUR\n   Edsger        0.00 EUR\n   together    150.00 EUR',
    '   422 Account ',
    " Entries on Ada's statement: 2 before, 2 after. It left no trace.",
    '   20 of 20 made, none deadlocked, no money lost.',
    '   Ada          65.00 EUR\n   Grace        85.00 EUR\n   Edsger        0.00 EUR\n   together    150.00 EUR',
  ];

  it(
    'plays its story in a bank that it opens for it, and leaves nothing behind',
    async () => {
      await using demo = Program.start('demo', { DATABASE_URL: undefined });
      expect(await demo.ended).toBe(0);
      for (const line of story) expect(demo.output).toContain(line);
      expect(demo.errors).toBe('');
    },
    TIMEOUT_MS,
  );

  it(
    'plays it against a bank that runs, as often as one likes',
    async () => {
      await using bank = await BankUnderTest.open();
      for (let i = 0; i < 2; i++) {
        await using demo = Program.start('demo', {}, bank.url);
        expect(await demo.ended).toBe(0);
        for (const line of story) expect(demo.output).toContain(line);
      }
    },
    TIMEOUT_MS,
  );
});
