import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { INestApplicationContext } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { UowModule } from 'nestjs-uow';
import { createTestDatabase } from '../support/test-database.js';
import type { TestDatabase } from '../support/test-database.js';
import { startWireProxy } from '../support/wire-proxy.js';
import type { WireProxy } from '../support/wire-proxy.js';
import {
  AuditEntry,
  AuditLog,
  Bookings,
  Evenings,
  Mail,
  NotHungryError,
  Seat,
  SeatTakenError,
} from './examples/transactions.js';

/** The examples of the guides on transactions, run. */

let database: TestDatabase;
let proxy: WireProxy;
let app: INestApplicationContext;
let bookings: Bookings;
let evenings: Evenings;
let mail: Mail;

beforeAll(async () => {
  database = await createTestDatabase({
    schema: `
      CREATE TABLE seat (number text PRIMARY KEY, guest text);
      CREATE TABLE audit_entry (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, text text NOT NULL);`,
  });
  proxy = await startWireProxy(database);

  @Module({
    imports: [
      TypeOrmModule.forRoot({ ...proxy.typeorm, entities: [Seat, AuditEntry] }),
      TypeOrmModule.forFeature([AuditEntry]),
      UowModule.forRoot(),
    ],
    providers: [AuditLog, Bookings, Evenings, Mail],
  })
  class RestaurantModule {}

  app = await NestFactory.createApplicationContext(RestaurantModule, { logger: ['error', 'warn'] });
  bookings = app.get(Bookings);
  evenings = app.get(Evenings);
  mail = app.get(Mail);
});

afterAll(async () => {
  await app.close();
  await proxy.close();
  await database.drop();
});

beforeEach(async () => {
  await database.query('TRUNCATE seat, audit_entry');
  await database.query(`INSERT INTO seat VALUES ('1', NULL), ('2', NULL), ('3', ''), ('4', '')`);
  mail.sent.length = 0;
});

const guestOf = async (number: string): Promise<string | null> =>
  (await database.query<{ guest: string | null }>('SELECT guest FROM seat WHERE number = $1', [number]))[0]?.guest ??
  null;

test('a declared method commits, and its afterCommit hook runs', async () => {
  await bookings.book('1', 'Ada');
  expect(await guestOf('1')).toBe('Ada');
  expect(mail.sent).toEqual(['Ada: Seat 1 is yours']);
});

test('a declared method that throws keeps nothing and sends no mail', async () => {
  await bookings.book('1', 'Ada');
  mail.sent.length = 0;
  await expect(bookings.book('1', 'Grace')).rejects.toBeInstanceOf(SeatTakenError);
  expect(await guestOf('1')).toBe('Ada');
  expect(mail.sent).toEqual([]);
});

test('REQUIRES_NEW is kept, NESTED fails alone', async () => {
  await evenings.bookAudited('1', 'Ada', '');
  expect(await guestOf('1')).toBe('Ada');
  expect(await database.query('SELECT text FROM audit_entry')).toEqual([{ text: 'Ada asks for 1' }]);
  await expect(evenings.bookAudited('1', 'Grace', 'please')).rejects.toBeInstanceOf(SeatTakenError);
  expect(await database.query('SELECT text FROM audit_entry ORDER BY id')).toEqual([
    { text: 'Ada asks for 1' },
    { text: 'Grace asks for 1' },
  ]);
});

test('the programmatic twin begins with its isolation level and its deadline', async () => {
  const seen = await proxy.record(async () => {
    expect(await evenings.bookFirstFree('Ada')).toBe('3');
  });
  expect(seen.sql.slice(0, 2)).toEqual(['BEGIN ISOLATION LEVEL SERIALIZABLE', expect.stringContaining('set_config')]);
  expect(await guestOf('3')).toBe('Ada');
});

test('a read-only method begins a read-only transaction', async () => {
  const seen = await proxy.record(async () => {
    expect(await evenings.occupancy()).toBe(0.5);
  });
  expect(seen.sql[0]).toBe('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
});

test('an error of noRollbackFor is thrown on after COMMIT', async () => {
  await expect(evenings.dine('1', 'Ada')).rejects.toBeInstanceOf(NotHungryError);
  expect(await guestOf('1')).toBe('Ada');
});

test('setRollbackOnly() lets the method return and keeps nothing', async () => {
  expect(await evenings.tryOut('1', 'Ada')).toBe('works');
  expect(await guestOf('1')).toBeNull();
  expect(mail.sent).toEqual([]);
});

test('branches of Promise.all take turns in one transaction', async () => {
  const seen = await proxy.record(() => evenings.bookTwo(['1', '2'], 'Ada'));
  expect(seen.transcripts).toHaveLength(1);
  expect(await guestOf('1')).toBe('Ada');
  expect(await guestOf('2')).toBe('Ada');
});

test('detached work is not waited for', async () => {
  await evenings.bookAndWarmUp('1', 'Ada');
  expect(await guestOf('1')).toBe('Ada');
});
