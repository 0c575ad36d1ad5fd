import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { DbSessionFactory, inspectEntity, UowModule } from 'nestjs-uow';
import { listen, type ListeningApp } from '../nest/notes-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import * as examples from './examples/coming-from-sqlalchemy.js';

/** Runs what the guide for users of SQLAlchemy shows. */
const { Account, TransferService, User, UsersController } = examples;

let database: TestDatabase;
let app: ListeningApp;
let factory: DbSessionFactory;

beforeAll(async () => {
  database = await createTestDatabase();
  @Module({
    imports: [
      TypeOrmModule.forRoot({ ...database.typeorm, entities: [User, Account], synchronize: true }),
      UowModule.forRoot(),
    ],
    controllers: [UsersController],
    providers: [TransferService],
  })
  class AppModule {}
  app = await listen(AppModule, 'Express');
  factory = app.app.get(DbSessionFactory);
});
afterAll(async () => {
  await app[Symbol.asyncDispose]();
  await database.drop();
});
beforeEach(async () => {
  await database.query('TRUNCATE users, accounts RESTART IDENTITY; INSERT INTO accounts (balance) VALUES (500), (0)');
});

const names = async (): Promise<string[]> =>
  (await database.query<{ name: string }>('SELECT name FROM users ORDER BY id')).map(({ name }) => name);
const balances = async (): Promise<number[]> =>
  (await database.query<{ balance: number }>('SELECT balance FROM accounts ORDER BY id')).map(({ balance }) => balance);

test('both or none', async () => {
  await using session = factory.open();
  await examples.addBoth(session);
  expect(await names()).toEqual(['Ada', 'Grace']);
  await database.query('DELETE FROM users WHERE id = 1');
  await using another = factory.open();
  await expect(examples.addBoth(another)).rejects.toMatchObject({ code: 'UOW_UNIQUE_VIOLATION' });
  expect(await names()).toEqual(['Grace']);
});

test('a flush gives the key, and lets constraints speak', async () => {
  await using session = factory.open();
  expect(await examples.keyBeforeCommit(session)).toBe(1);
  expect(await names()).toEqual([]);
  await session.rollback();
  expect(await examples.isTaken(session, 'John')).toBe(false);
  await session.commit();
  expect(await examples.isTaken(session, 'John')).toBe(true);
  expect(await examples.isTaken(session, 'Jane')).toBe(false);
});

test.each(['saveByHand', 'saveWithUsing', 'save'] as const)('%s commits, or rolls back; and closes', async (save) => {
  const user = new User('Ada');
  await examples[save](factory, user);
  expect([await names(), inspectEntity(user).state]).toEqual([['Ada'], 'detached']);
  const twin = new User('Ada');
  await expect(examples[save](factory, twin)).rejects.toMatchObject({ code: 'UOW_UNIQUE_VIOLATION' });
  expect([await names(), inspectEntity(twin).state]).toEqual([['Ada'], 'transient']);
  await database.untilNoTransaction();
});

test('queries flush first', async () => {
  await using session = factory.open();
  expect(await examples.countWithNew(session)).toEqual([0, 1]);
});

test('each request has its own session', async () => {
  expect(await app.post('/users', { name: 'Ada' })).toEqual({ status: 201, body: { id: 1, name: 'Ada' } });
  expect(await app.get('/users')).toEqual({ status: 200, body: [{ id: 1, name: 'Ada' }] });
  expect(await app.post('/users', { name: 'Ada' })).toMatchObject({ status: 500 });
  expect(await names()).toEqual(['Ada']);
});

describe('the banking example', () => {
  test('moves money by hand, both or none', async () => {
    await using session = factory.open();
    await examples.moveByHand(session, 1, 2);
    expect(await balances()).toEqual([400, 100]);
  });

  test('overwrites nobody’s change, and gives memory back', async () => {
    await using session = factory.open();
    const [account1, account2] = await session.getManyOrFail(Account, [1, 2]);
    await database.query('UPDATE accounts SET balance = 7 WHERE id = 2');
    await expect(examples.moveByHand(session, 1, 2)).rejects.toMatchObject({ code: 'UOW_STALE_DATA' });
    expect(await balances()).toEqual([500, 7]);
    expect([account1.balance, account2.balance]).toEqual([500, 0]);
  });

  test('loses nothing under locks, whatever runs beside it', async () => {
    const transfers = app.app.get(TransferService);
    await Promise.all(
      Array.from({ length: 20 }, (_, n) => transfers.move(n % 2 === 0 ? 1 : 2, n % 2 === 0 ? 2 : 1, n)),
    );
    expect(await balances()).toEqual([510, -10]);
    await expect(transfers.move(1, 3, 100)).rejects.toMatchObject({ code: 'UOW_ENTITY_NOT_FOUND' });
    expect(await balances()).toEqual([510, -10]);
  });
});
