import { randomInt, randomUUID } from 'node:crypto';
import type { Activity } from '../support/test-database.js';
import { type Answer, BankUnderTest, expectBody } from './bank-under-test.js';

const ORDERS = 2_000;
const ACCOUNTS = 50;
const AT_ONCE = 32;
const OPENING_DEPOSIT = 20_000;

/** What becomes of an order that is made like this. */
type Kind = 'fair' | 'too much' | 'wrong currency' | 'unknown account' | 'frozen account' | 'same key again';

interface Order {
  readonly kind: Kind;
  readonly key: string;
  readonly from: string;
  readonly to: string;
  readonly amount: string;
  readonly currency: string;
}

/** Numbers below a bound, the same ones for the same seed (mulberry32). */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** Mostly orders that are fair, some that are bound to fail, some that repeat an earlier one with its key. */
function makeOrders(accounts: readonly string[], frozen: string, random: (below: number) => number): Order[] {
  const orders: Order[] = [];
  for (let i = 0; i < ORDERS; i++) {
    const from = random(ACCOUNTS);
    const to = (from + 1 + random(ACCOUNTS - 1)) % ACCOUNTS;
    const fair: Order = {
      kind: 'fair',
      key: randomUUID(),
      from: accounts[from] as string,
      to: accounts[to] as string,
      amount: String(1 + random(3_000)),
      currency: 'EUR',
    };
    const lot = random(100);
    if (lot < 5) orders.push({ ...fair, kind: 'too much', amount: String(ACCOUNTS * OPENING_DEPOSIT + 1) });
    else if (lot < 10) orders.push({ ...fair, kind: 'wrong currency', currency: 'USD' });
    else if (lot < 13) orders.push({ ...fair, kind: 'unknown account', to: '999999999' });
    else if (lot < 16) orders.push({ ...fair, kind: 'frozen account', to: frozen });
    else if (lot < 21 && i > 0) {
      // Close behind the first, so that many of them meet.
      orders.push({ ...(orders[i - 1 - random(Math.min(i, 10))] as Order), kind: 'same key again' });
    } else orders.push(fair);
  }
  return orders;
}

it('keeps its books through 2,000 random transfers among 50 accounts, 32 at a time', async () => {
  const seed = Number(process.env['BANK_SEED'] ?? randomInt(2 ** 31));
  // A pool with room for more transactions than the eight that must be seen, and for fewer than there are clients.
  const bank = await BankUnderTest.open({ poolSize: 16 });
  const { database } = bank;
  try {
    const accounts: string[] = [];
    for (let i = 0; i < ACCOUNTS; i++) {
      accounts.push((await bank.openAccount({ openingDeposit: String(OPENING_DEPOSIT) })).id);
    }
    const { id: frozen } = await bank.openAccount();
    await bank.setStatus(frozen, 'frozen');
    const booksBefore = await bank.books();
    const orders = makeOrders(accounts, frozen, randomNumbers(seed));

    // One account is held by somebody else for a while: orders on it wait inside their transactions, and only if
    // others go on beside them will there be eight at once. Behind a lock around everything there would be one.
    const letGo = await bank.holdAccount(accounts[0] as string);
    const answers = new Map<Order, Answer>();
    const queue = orders[Symbol.iterator]();
    const clients = Array.from({ length: AT_ONCE }, async () => {
      for (const order of queue) {
        const { key, from, to, amount, currency } = order;
        answers.set(order, await bank.transfer({ from, to, amount, currency }, key));
      }
    });
    let mostOpen = 0;
    const look = (rows: readonly Activity[]): boolean => {
      mostOpen = Math.max(mostOpen, rows.filter((row) => row.inTransaction).length);
      return mostOpen >= 8;
    };
    await database.untilActivity(look).catch(() => undefined);
    await letGo();
    const done = Promise.all(clients).then(() => true);
    // How many there are when nobody is held up is told, not asserted: it is a matter of the machine.
    let mostOpenByThemselves = 0;
    while (!(await Promise.race([done, new Promise<false>((resolve) => setTimeout(resolve, 20, false))]))) {
      const rows = await database.activity();
      mostOpenByThemselves = Math.max(mostOpenByThemselves, rows.filter((row) => row.inTransaction).length);
    }

    const tally: Record<string, number> = {};
    for (const [{ kind }, { status, body }] of answers) {
      const outcome = `${kind}: ${status}${status === 201 ? '' : ` ${JSON.stringify(body['type']).slice(1, -1)}`}`;
      tally[outcome] = (tally[outcome] ?? 0) + 1;
    }
    const count = (outcome: string): number => tally[outcome] ?? 0;
    const report = { seed, tally, mostOpen, mostOpenByThemselves };

    // Nothing came out otherwise than it may, and everything that was meant to be hit was.
    const possible = [
      'fair: 201',
      'fair: 422 /problems/insufficient-funds',
      'too much: 422 /problems/insufficient-funds',
      'wrong currency: 422 /problems/currency-mismatch',
      'unknown account: 404 /problems/unknown-account',
      'frozen account: 422 /problems/account-not-active',
      'frozen account: 422 /problems/insufficient-funds',
    ];
    const strange = Object.keys(tally).filter(
      (outcome) => !possible.includes(outcome) && !outcome.startsWith('same key again: '),
    );
    expect({ ...report, strange }).toMatchObject({ strange: [] });
    expect(answers.size).toBe(ORDERS);
    expect(count('fair: 201')).toBeGreaterThan(1_000);
    for (const kind of ['too much', 'wrong currency', 'unknown account', 'frozen account', 'same key again']) {
      const hit = Object.entries(tally).filter(([outcome]) => outcome.startsWith(`${kind}: `));
      expect({ ...report, kind, hit: hit.length > 0 }).toMatchObject({ hit: true });
    }

    // One answer for each key.
    const answersByKey = new Map<string, Set<string>>();
    for (const [{ key }, { status, text }] of answers) {
      answersByKey.set(key, (answersByKey.get(key) ?? new Set()).add(`${status} ${text}`));
    }
    expect([...answersByKey.values()].filter((given) => given.size > 1)).toEqual([]);

    // Every accepted transfer is in the ledger, once, and nothing else is.
    const accepted = new Set<string>();
    for (const [order, answer] of answers) {
      if (answer.status !== 201) continue;
      const { id, ...made } = expectBody<{ id: string }>(answer, 201);
      expect(made).toMatchObject({ fromAccountId: order.from, toAccountId: order.to, amount: order.amount });
      accepted.add(id);
    }
    const posted = await database.query<{ id: string; postings: number; sum: string }>(
      `select t.id, count(e.id)::int postings, sum(e.amount)::text sum
         from transfers t left join ledger_entries e on e.transfer_id = t.id
        where t.reference is distinct from 'Opening deposit' group by t.id`,
    );
    expect(new Set(posted.map(({ id }) => id))).toEqual(accepted);
    expect(posted.filter(({ postings, sum }) => postings !== 2 || sum !== '0')).toEqual([]);
    const books = await bank.books();
    expect(Number(books.transfers) - Number(booksBefore.transfers)).toBe(accepted.size);
    expect(Number(books.entries) - Number(booksBefore.entries)).toBe(2 * accepted.size);
    expect(Number(books.records)).toBe(answersByKey.size);

    // The money.
    const balances = await database.query<{ id: string; balance: string; posted: string; latest: string }>(
      `select a.id, a.balance, coalesce(sum(e.amount), 0)::text posted,
              (select balance_after from ledger_entries l where l.account_id = a.id order by l.id desc limit 1) latest
         from accounts a left join ledger_entries e on e.account_id = a.id
        where a.kind = 'customer' group by a.id`,
    );
    expect(balances).toHaveLength(ACCOUNTS + 1);
    const total = balances.reduce((sum, { balance }) => sum + BigInt(balance), 0n);
    expect(total).toBe(BigInt(ACCOUNTS * OPENING_DEPOSIT));
    expect(balances.filter(({ balance }) => BigInt(balance) < 0n)).toEqual([]);
    expect(balances.filter(({ balance, posted: sum }) => balance !== sum)).toEqual([]);
    expect(balances.filter(({ id, balance, latest }) => id !== frozen && balance !== latest)).toEqual([]);

    // It was done side by side.
    expect({ ...report, enough: mostOpen >= 8 }).toMatchObject({ enough: true });

    // A connection tells of its deadlocks at the latest when it ends.
    await database.untilNoTransaction();
    await bank.app.close();
    await database.untilNoConnection();
    expect(
      await database.query('select deadlocks::int from pg_stat_database where datname = current_database()'),
    ).toEqual([{ deadlocks: 0 }]);
    process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  } finally {
    await bank.close();
  }
}, 180_000);
