import { randomUUID } from 'node:crypto';
import type { INestApplication } from '@nestjs/common';
import { getDataSourceToken } from '@nestjs/typeorm';
import type { Pool } from 'pg';
import type { Logger as PinoLogger } from 'pino';
import type { DataSource } from 'typeorm';
import { startBankingApp } from '../../apps/banking/src/banking-app.js';
import { createLog } from '../../apps/banking/src/logging/log.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';

export type Adapter = 'express' | 'fastify';

/** Both HTTP servers that Nest runs on: the bank behaves the same on each. */
export const ADAPTERS: readonly Adapter[] = ['express', 'fastify'];

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** An answer that has arrived. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** The parsed body; an object for every route of the bank. */
  readonly body: Record<string, Json>;
  /** The body as it was sent. */
  readonly text: string;
}

/** An account as the API shows it. */
export interface AccountBody {
  readonly id: string;
  readonly customerId: string;
  readonly currency: string;
  readonly balance: string;
  readonly overdraftLimit: string;
  readonly status: string;
  readonly version: number;
  readonly createdAt: string;
}

/** A bank with a database of its own, open on a socket. */
export class BankUnderTest implements AsyncDisposable {
  private customerId: string | undefined;
  private readonly held = new Set<() => Promise<void>>();

  private constructor(
    readonly app: INestApplication,
    readonly url: string,
    readonly database: TestDatabase,
  ) {}

  static async open(options: { adapter?: Adapter; poolSize?: number; log?: PinoLogger } = {}): Promise<BankUnderTest> {
    const database = await createTestDatabase({ template: 'banking' });
    try {
      const { app, url } = await startBankingApp({
        log: createLog(process.env['LOG_LEVEL'] ?? 'silent'),
        ...options,
        database: database.address,
      });
      return new BankUnderTest(app, url, database);
    } catch (error) {
      await database.drop();
      throw error;
    }
  }

  async close(): Promise<void> {
    // A test that failed may have left orders waiting, for which the application would wait.
    for (const letGo of this.held) await letGo();
    await this.app.close();
    await this.database.drop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async get(path: string, headers: Record<string, string> = {}): Promise<Answer> {
    return await this.send('GET', path, undefined, headers);
  }

  async post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    return await this.send('POST', path, body, headers);
  }

  async patch(path: string, body: unknown): Promise<Answer> {
    return await this.send('PATCH', path, body);
  }

  async send(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: { ...(body !== undefined && { 'Content-Type': 'application/json' }), ...headers },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const isJson = (response.headers.get('content-type') ?? '').includes('json');
    return {
      status: response.status,
      headers: response.headers,
      text,
      body: isJson ? (JSON.parse(text) as Answer['body']) : {},
    };
  }

  /** An account of a customer of this bank. */
  async openAccount(
    options: { currency?: string; openingDeposit?: string; overdraftLimit?: string } = {},
  ): Promise<AccountBody> {
    this.customerId ??= await this.register();
    const answer = await this.post('/accounts', { customerId: this.customerId, currency: 'EUR', ...options });
    return expectBody<AccountBody>(answer, 201);
  }

  /** A customer's id. */
  async register(name = 'Ada Lovelace'): Promise<string> {
    const answer = await this.post('/customers', { name, email: `${randomUUID()}@example.com` });
    return expectBody<{ id: string }>(answer, 201).id;
  }

  /** An order, under a key of its own unless one is given. */
  async transfer(order: TransferRequest, key: string = randomUUID()): Promise<Answer> {
    const { from, to, ...rest } = order;
    const body = { fromAccountId: from, toAccountId: to, currency: 'EUR', ...rest };
    return await this.post('/transfers', body, { 'Idempotency-Key': key });
  }

  async account(id: string): Promise<AccountBody> {
    return expectBody<AccountBody>(await this.get(`/accounts/${id}`), 200);
  }

  async balance(id: string): Promise<string> {
    return (await this.account(id)).balance;
  }

  /** Puts an account into a status, as it is now. */
  async setStatus(id: string, status: string): Promise<void> {
    const { version } = await this.account(id);
    expectBody(await this.patch(`/accounts/${id}`, { status, version }), 200);
  }

  /**
   * Locks an account's row on a connection of the test's own, so that orders on it wait.
   *
   * @returns lets them go on
   */
  async holdAccount(id: string): Promise<() => Promise<void>> {
    const holder = await this.database.connect('test holder');
    await holder.query('begin');
    await holder.query('select from accounts where id = $1 for no key update', [id]);
    const letGo = async (): Promise<void> => {
      if (!this.held.delete(letGo)) return;
      await holder.query('rollback');
      await holder.end();
    };
    this.held.add(letGo);
    return letGo;
  }

  /** Waits until so many of the bank's connections wait for a lock. */
  async untilWaiting(count: number): Promise<void> {
    await this.database.untilActivity(
      (rows) => rows.filter(({ waitEventType }) => waitEventType === 'Lock').length >= count,
    );
  }

  /** The bank's connection pool. */
  get pool(): Pool {
    const { driver } = this.app.get<DataSource>(getDataSourceToken());
    return (driver as unknown as { master: Pool }).master;
  }

  /** Every transfer and every entry in the books, straight from the tables. */
  async books(): Promise<{ transfers: string; entries: string; records: string }> {
    const [row] = await this.database.query<{ transfers: string; entries: string; records: string }>(
      `select (select count(*) from transfers) transfers,
              (select count(*) from ledger_entries) entries,
              (select count(*) from idempotency_records) records`,
    );
    if (row === undefined) throw new Error('count gives a row');
    return row;
  }
}

/** What a test asks to be transferred, in EUR unless it says otherwise. */
export interface TransferRequest {
  readonly from: string;
  readonly to: string;
  readonly amount: string;
  readonly currency?: string;
  readonly reference?: string;
}

/** The body of an answer with this status; anything else fails the test, with the answer in the message. */
export function expectBody<T = Record<string, Json>>(answer: Answer, status: number): T {
  if (answer.status !== status) throw new Error(`Expected ${status}, got ${answer.status}: ${answer.text}`);
  return answer.body as unknown as T;
}

/** The fields that a 400 names. */
export function namedFields(answer: Answer): string[] {
  const { errors } = expectBody<{ errors: { field: string }[] }>(answer, 400);
  return [...new Set(errors.map(({ field }) => field))];
}

/** Fails unless the answer is a problem (RFC 9457) of this status and kind. */
export function expectProblem(answer: Answer, status: number, type: string): void {
  expect({ ...answer.body, contentType: answer.headers.get('content-type')?.split(';')[0] }).toMatchObject({
    contentType: 'application/problem+json',
    status,
    type,
    title: expect.any(String) as string,
  });
  expect(answer.status).toBe(status);
}
