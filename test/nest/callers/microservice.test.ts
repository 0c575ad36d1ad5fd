import type { AddressInfo, Server } from 'node:net';
import { Controller, Inject, Injectable, Module, Scope } from '@nestjs/common';
import type { INestMicroservice } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  ClientProxyFactory,
  EventPattern,
  MessagePattern,
  Payload,
  RpcException,
  Transport,
} from '@nestjs/microservices';
import type { ClientProxy, MicroserviceOptions } from '@nestjs/microservices';
import { DbSession, REQUEST_DB_SESSION, Transactional, TransactionManager } from 'nestjs-uow';
import { concatMap, firstValueFrom, from, lastValueFrom, Observable, toArray } from 'rxjs';
import { Note, Notes, NotesDatabase } from '../notes-app.js';

@Injectable({ scope: Scope.REQUEST })
class PerMessage {
  constructor(@Inject(REQUEST_DB_SESSION) readonly session: DbSession) {}
}

@Controller()
class NotesHandler {
  constructor(
    private readonly notes: Notes,
    private readonly session: DbSession,
    private readonly transactions: TransactionManager,
  ) {}

  @MessagePattern('declared')
  @Transactional()
  async declared(@Payload() text: string): Promise<string> {
    await this.notes.write(text);
    if (text === 'fail') throw new RpcException('undo');
    return this.transactions.current()?.label ?? 'none';
  }

  @Transactional()
  @MessagePattern('declared above')
  async declaredAbove(@Payload() text: string): Promise<string> {
    return await this.notes.write(text);
  }

  @MessagePattern('session ids')
  ids(): string[] {
    return [this.session.id, this.session.id];
  }

  @MessagePattern('unflushed')
  unflushed(@Payload() text: string): string {
    this.session.add(Object.assign(new Note(), { text }));
    return 'ok';
  }

  @MessagePattern('stream')
  @Transactional()
  stream(@Payload() texts: string[]): Observable<string> {
    return from(texts).pipe(concatMap((text) => this.notes.write(text)));
  }

  @EventPattern('event')
  @Transactional()
  async event(@Payload() text: string): Promise<void> {
    await this.notes.write(text);
  }
}

@Controller()
class ScopedHandler {
  constructor(
    private readonly perMessage: PerMessage,
    private readonly session: DbSession,
  ) {}

  @MessagePattern('scoped ids')
  ids(): string[] {
    return [this.perMessage.session.id, this.session.id];
  }
}

let db: NotesDatabase;
let service: INestMicroservice;
let client: ClientProxy;

beforeAll(async () => {
  db = await NotesDatabase.create();
  @Module({
    imports: db.imports(),
    controllers: [NotesHandler, ScopedHandler],
    providers: [Notes, PerMessage],
  })
  class AppModule {}
  service = await NestFactory.createMicroservice<MicroserviceOptions>(AppModule, {
    transport: Transport.TCP,
    options: { host: '127.0.0.1', port: 0 },
    logger: false,
  });
  await service.listen();
  const { port } = service.unwrap<Server>().address() as AddressInfo;
  client = ClientProxyFactory.create({
    transport: Transport.TCP,
    options: { host: '127.0.0.1', port },
  });
});

afterAll(async () => {
  await client.close();
  await service.close();
  await db[Symbol.asyncDispose]();
});

beforeEach(async () => {
  await db.clear();
});

const send = async <T>(pattern: string, payload: unknown): Promise<T> =>
  await firstValueFrom(client.send<T>(pattern, payload));

test('a message handler’s transaction is committed before its answer comes', async () => {
  expect(await send('declared', 'a')).toBe('NotesHandler.declared');
  expect(await db.texts()).toEqual(['a']);
});

test('the pattern survives whether the decorator stands above or below', async () => {
  expect(await send('declared above', 'a')).toBe('a');
});

test('a handler that throws is rolled back, and the caller gets its error', async () => {
  await expect(send('declared', 'fail')).rejects.toMatchObject({ message: 'undo' });
  expect(await db.texts()).toEqual([]);
});

test('each message has a session of its own, without any declaration', async () => {
  const [one, two] = await Promise.all([send<string[]>('session ids', {}), send<string[]>('session ids', {})]);
  expect(new Set(one).size).toBe(1);
  expect(one[0]).not.toBe(two[0]);
});

test('REQUEST_DB_SESSION gives the session of the message', async () => {
  const ids = await send<string[]>('scoped ids', {});
  expect(new Set(ids).size).toBe(1);
});

test('uncommitted work is not acknowledged', async () => {
  await expect(send('unflushed', 'a')).rejects.toBeDefined();
  expect(await db.texts()).toEqual([]);
});

test('a stream of answers is one transaction', async () => {
  const answers = await lastValueFrom(client.send<string>('stream', ['a', 'b']).pipe(toArray()));
  expect(answers).toEqual(['a', 'b']);
  await db.database.untilNoTransaction();
  expect(await db.texts()).toEqual(['a', 'b']);
});

test('an event handler has its transaction too', async () => {
  await lastValueFrom(client.emit('event', 'a'), { defaultValue: undefined });
  await db.until((texts) => texts.includes('a'));
  await db.database.untilNoTransaction();
});
