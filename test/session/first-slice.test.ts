import { Column, Entity, JoinColumn, ManyToOne, OneToMany, PrimaryGeneratedColumn, VersionColumn } from 'typeorm';
import { inspectEntity } from '../../libs/uow/src/session/inspect.js';
import { SessionUnderTest } from './session-under-test.js';

@Entity('account')
class Account {
  @PrimaryGeneratedColumn('identity', { type: 'bigint' })
  readonly id!: string;

  @Column('text')
  owner!: string;

  @Column('bigint', {
    transformer: { from: (v: string) => BigInt(v), to: (v: unknown) => (typeof v === 'bigint' ? String(v) : v) },
  })
  balance!: bigint;

  @VersionColumn()
  readonly version!: number;

  constructor(owner?: string, balance?: bigint) {
    if (owner !== undefined) this.owner = owner;
    if (balance !== undefined) this.balance = balance;
  }
}

@Entity('transfer')
class Transfer {
  @PrimaryGeneratedColumn('identity', { type: 'bigint' })
  readonly id!: string;

  @ManyToOne(() => Account, { nullable: false })
  @JoinColumn({ name: 'source_id' })
  source!: Account;

  @Column('bigint')
  amount!: string;

  @OneToMany(() => Posting, (posting) => posting.transfer)
  postings!: Posting[];
}

@Entity('posting')
class Posting {
  @PrimaryGeneratedColumn('identity', { type: 'bigint' })
  readonly id!: string;

  @ManyToOne(() => Transfer, (transfer) => transfer.postings, { nullable: false })
  transfer!: Transfer;

  @Column('bigint')
  amount!: string;
}

let env: SessionUnderTest;

beforeAll(async () => {
  env = await SessionUnderTest.start({ entities: [Account, Transfer, Posting] });
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  await env.database.query('TRUNCATE posting, transfer, account RESTART IDENTITY');
  await env.database.query(`INSERT INTO account (owner, balance, version) VALUES ('ada', 100, 1), ('bob', 50, 1)`);
  env.sent();
});

test('a transfer: lock, change, add, commit', async () => {
  await env.manager.run(async () => {
    const { session } = env;
    const [source, target] = await session.getManyOrFail(Account, ['1', '2'], { lock: 'update' });
    source.balance -= 30n;
    target.balance += 30n;
    const transfer = new Transfer();
    transfer.source = source;
    transfer.amount = '30';
    const [debit, credit] = [new Posting(), new Posting()];
    debit.amount = '-30';
    credit.amount = '30';
    transfer.postings = [debit, credit];
    session.add(transfer);
  });
  expect(await env.database.query('SELECT balance, version FROM account ORDER BY id')).toEqual([
    { balance: '70', version: 2 },
    { balance: '80', version: 2 },
  ]);
  expect(
    await env.database.query('SELECT "transferId"::text AS transfer, amount::text FROM posting ORDER BY id'),
  ).toEqual([
    { transfer: '1', amount: '-30' },
    { transfer: '1', amount: '30' },
  ]);
});

test('add, flush, rollback', async () => {
  const { factory } = env;
  const session = factory.open();
  const account = new Account('eve', 5n);
  session.add(account);
  expect(inspectEntity(account).state).toBe('pending');
  await session.flush();
  expect(account.id).toBe('3');
  expect(account.version).toBe(1);
  expect(inspectEntity(account).state).toBe('persistent');
  expect(await session.get(Account, '3')).toBe(account);
  account.balance = 7n;
  expect(session.dirty).toEqual([account]);
  await session.flush();
  expect(account.version).toBe(2);
  await session.rollback();
  expect(inspectEntity(account).state).toBe('transient');
  expect(account.id).toBeUndefined();
  const ada = await session.getOrFail(Account, '1');
  ada.owner = 'Ada';
  session.delete((await session.get(Account, '2'))!);
  await session.commit();
  expect(await env.database.query('SELECT owner FROM account')).toEqual([{ owner: 'Ada' }]);
  const found = await session.find(Account, { where: { owner: 'Ada' } });
  expect(found).toEqual([ada]);
  expect(found[0]).toBe(ada);
  expect(await session.count(Account)).toBe(1);
  expect(await session.exists(Account, { where: { owner: 'x' } })).toBe(false);
  expect(await session.findOne(Account, { where: { owner: 'Ada' }, order: { id: 'DESC' } })).toBe(ada);
  await session.close();
});

test('a stale version', async () => {
  const session = env.factory.open();
  const ada = await session.getOrFail(Account, '1');
  await env.database.query('UPDATE account SET version = 5 WHERE id = 1');
  ada.balance = 1n;
  await expect(session.commit()).rejects.toMatchObject({ code: 'UOW_STALE_DATA', expectedVersion: 1 });
  expect(session.inTransaction).toBe(false);
  expect(ada.balance).toBe(100n);
  await session.close();
});
