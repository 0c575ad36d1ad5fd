import 'reflect-metadata';
import { randomUUID } from 'node:crypto';
import { createLog } from './logging/log.js';
import { openBank } from './start/running-bank.js';

/*
 * A short story, told over HTTP. `npm run demo` opens a bank for it, which forgets everything afterwards;
 * `npm run demo -- http://127.0.0.1:3000` plays it against one that runs.
 */

interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, string>> & {
    readonly entries?: readonly unknown[];
    readonly version?: number;
  };
}

class Story {
  private readonly accounts = new Map<string, string>();

  constructor(private readonly url: string) {}

  async tell(): Promise<void> {
    say(`The bank is at ${this.url}. Ada, Grace and Edsger open an account each.`);
    await this.openAccount('Ada', '10000');
    await this.openAccount('Grace', '5000');
    await this.openAccount('Edsger', '0');
    await this.showBalances();

    say('1. Ada sends Grace 25.00 EUR.');
    await this.report(this.transfer('Ada', 'Grace', '2500'));
    await this.showBalances();

    say("2. Edsger's account is frozen. Ada sends him 10.00 EUR: hers is debited, then his refuses, half way.");
    await this.freeze('Edsger');
    const before = await this.entriesOf('Ada');
    await this.report(this.transfer('Ada', 'Edsger', '1000'));
    await this.showBalances();
    say(`   Entries on Ada's statement: ${before} before, ${await this.entriesOf('Ada')} after. It left no trace.`);

    say('3. Ada and Grace send each other money at the very same time, ten times each way.');
    const opposite = Array.from({ length: 10 }, () => [
      this.transfer('Ada', 'Grace', '300'),
      this.transfer('Grace', 'Ada', '200'),
    ]).flat();
    const answers = await Promise.all(opposite);
    const made = answers.filter(({ status }) => status === 201).length;
    say(`   ${made} of ${answers.length} made, none deadlocked, no money lost.`);
    await this.showBalances();
  }

  private async openAccount(owner: string, openingDeposit: string): Promise<void> {
    // Against a bank that runs, the story may have been told before.
    const email = `${owner.toLowerCase()}.${randomUUID()}@example.com`;
    const customer = await this.send('POST', '/customers', { name: owner, email });
    const order = { customerId: customer.body['id'], currency: 'EUR', openingDeposit };
    const account = await this.send('POST', '/accounts', order);
    if (account.status !== 201) throw new Error(`No account for ${owner}: ${JSON.stringify(account.body)}`);
    this.accounts.set(owner, String(account.body['id']));
  }

  private async freeze(owner: string): Promise<void> {
    const { version } = (await this.send('GET', `/accounts/${this.idOf(owner)}`)).body;
    await this.send('PATCH', `/accounts/${this.idOf(owner)}`, { status: 'frozen', version });
  }

  private async transfer(from: string, to: string, amount: string): Promise<Answer> {
    const order = { fromAccountId: this.idOf(from), toAccountId: this.idOf(to), amount, currency: 'EUR' };
    return await this.send('POST', '/transfers', order, { 'Idempotency-Key': randomUUID() });
  }

  private async report(transfer: Promise<Answer>): Promise<void> {
    const { status, body } = await transfer;
    say(`   ${status} ${body['detail'] ?? `transfer ${body['id']}`}`);
  }

  private async entriesOf(owner: string): Promise<number> {
    const { body } = await this.send('GET', `/accounts/${this.idOf(owner)}/statement?limit=200`);
    return body.entries?.length ?? 0;
  }

  private async showBalances(): Promise<void> {
    let total = 0n;
    for (const [owner, id] of this.accounts) {
      const { body } = await this.send('GET', `/accounts/${id}`);
      const balance = BigInt(body['balance'] ?? '0');
      total += balance;
      say(`   ${owner.padEnd(8)}${euros(balance).padStart(10)} EUR`);
    }
    say(`   ${'together'.padEnd(8)}${euros(total).padStart(10)} EUR`);
  }

  private idOf(owner: string): string {
    const id = this.accounts.get(owner);
    if (id === undefined) throw new Error(`${owner} has no account`);
    return id;
  }

  private async send(
    method: string,
    path: string,
    body?: object,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer> {
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: { ...headers, ...(body !== undefined && { 'Content-Type': 'application/json' }) },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as Answer['body'] };
  }
}

function euros(minorUnits: bigint): string {
  return `${minorUnits / 100n}.${(minorUnits % 100n).toString().padStart(2, '0')}`;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

const running = process.argv[2];
if (running !== undefined) {
  await new Story(running.replace(/\/$/, '')).tell();
} else {
  const bank = await openBank({ log: createLog('warn'), port: '0', host: undefined });
  try {
    await new Story(bank.url).tell();
  } finally {
    await bank.close();
  }
}
