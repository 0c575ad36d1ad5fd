import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { INestApplicationContext } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { UowModule } from 'nestjs-uow';
import { createTestDatabase } from '../support/test-database.js';
import type { TestDatabase } from '../support/test-database.js';
import { startWireProxy } from '../support/wire-proxy.js';
import type { WireProxy } from '../support/wire-proxy.js';
import { codeBlocks } from './code-blocks.js';
import { Account, Transfer, TransferService } from './examples/transfer.js';

const SCHEMA = `
  CREATE TABLE account (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, balance bigint NOT NULL);
  CREATE TABLE transfer (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    "sourceId" int NOT NULL REFERENCES account,
    "targetId" int NOT NULL REFERENCES account,
    amount bigint NOT NULL);
  INSERT INTO account (balance) VALUES (100), (0);`;

let database: TestDatabase;
let proxy: WireProxy;
let app: INestApplicationContext;

beforeAll(async () => {
  database = await createTestDatabase({ schema: SCHEMA });
  proxy = await startWireProxy(database);

  @Module({
    imports: [TypeOrmModule.forRoot({ ...proxy.typeorm, entities: [Account, Transfer] }), UowModule.forRoot()],
    providers: [TransferService],
  })
  class ExampleModule {}

  app = await NestFactory.createApplicationContext(ExampleModule, { logger: ['error', 'warn'] });
});

afterAll(async () => {
  await app.close();
  await proxy.close();
  await database.drop();
});

/** The README breaks lines, and leaves out the marker that is new in each process. */
const readable = (sql: string): string =>
  sql
    .replace(/'uow [\w-]+ \d+ '/g, "'uow <nonce> '")
    .replace(/\s+/g, ' ')
    .replace(/ (?=\))/g, '')
    .trim();

test('the transfer of the README sends the SQL that the README shows, in two round trips', async () => {
  const service = app.get(TransferService);
  await service.transfer(1, 2, 10n);
  const seen = await proxy.record(() => service.transfer(1, 2, 30n));
  const shown = codeBlocks().find(({ document, language }) => document === 'README.md' && language === 'sql');
  const statements = (shown?.code ?? '')
    .replace(/^\s*--.*$/gm, '')
    .split(';')
    .map(readable)
    .filter((text) => text !== '');
  expect(seen.sql.map(readable)).toEqual(statements);
  expect(seen.roundTrips).toBe(2);
  expect(await database.query('SELECT id, balance FROM account ORDER BY id')).toEqual([
    { id: 1, balance: '60' },
    { id: 2, balance: '40' },
  ]);
  expect(await database.query('SELECT "sourceId", "targetId", amount FROM transfer WHERE id = 2')).toEqual([
    { sourceId: 1, targetId: 2, amount: '30' },
  ]);
});

test('a transfer that is too large changes nothing', async () => {
  await expect(app.get(TransferService).transfer(1, 2, 1_000n)).rejects.toThrow('too little money');
  expect(await database.query('SELECT sum(balance) FROM account')).toEqual([{ sum: '100' }]);
});

test('the module of the README starts', async () => {
  const before = process.env['DATABASE_URL'];
  process.env['DATABASE_URL'] = database.url;
  try {
    const { AppModule } = await import('./examples/module.js');
    const example = await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn'] });
    await example.get(TransferService).transfer(2, 1, 1n);
    await example.close();
  } finally {
    if (before === undefined) delete process.env['DATABASE_URL'];
    else process.env['DATABASE_URL'] = before;
  }
  expect(await database.query('SELECT balance FROM account WHERE id = 1')).toEqual([{ balance: '61' }]);
});
