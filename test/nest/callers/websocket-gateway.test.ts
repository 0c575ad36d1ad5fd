import { Module } from '@nestjs/common';
import type { INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { WsAdapter } from '@nestjs/platform-ws';
import { MessageBody, SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import { DbSession, Transactional } from 'nestjs-uow';
import { WebSocket } from 'ws';
import { Note, Notes, NotesDatabase } from '../notes-app.js';

interface Answer {
  readonly event: string;
  readonly data: unknown;
}

@WebSocketGateway()
class NotesGateway {
  constructor(
    private readonly notes: Notes,
    private readonly session: DbSession,
  ) {}

  @SubscribeMessage('write')
  @Transactional()
  async write(@MessageBody() text: string): Promise<Answer> {
    await this.notes.write(text);
    if (text === 'fail') throw new Error('undo');
    return { event: 'written', data: text };
  }

  @SubscribeMessage('ids')
  ids(): Answer {
    return { event: 'ids', data: [this.session.id, this.session.id] };
  }

  @SubscribeMessage('unflushed')
  unflushed(@MessageBody() text: string): Answer {
    this.session.add(Object.assign(new Note(), { text }));
    return { event: 'written', data: text };
  }
}

let db: NotesDatabase;
let app: INestApplication;
let socket: WebSocket;

beforeAll(async () => {
  db = await NotesDatabase.create();
  @Module({ imports: db.imports(), providers: [Notes, NotesGateway] })
  class AppModule {}
  app = await NestFactory.create(AppModule, { logger: false });
  app.useWebSocketAdapter(new WsAdapter(app));
  await app.listen(0, '127.0.0.1');
  socket = new WebSocket((await app.getUrl()).replace('http', 'ws'));
  await new Promise<void>((resolve) => socket.once('open', resolve));
});

afterAll(async () => {
  socket.close();
  await app.close();
  await db[Symbol.asyncDispose]();
});

beforeEach(async () => {
  await db.clear();
});

const send = async (event: string, data: unknown): Promise<Answer> => {
  const answer = new Promise<Answer>((resolve) => {
    socket.once('message', (message: Buffer) => {
      resolve(JSON.parse(message.toString()) as Answer);
    });
  });
  socket.send(JSON.stringify({ event, data }));
  return await answer;
};

test('a gateway’s handler has its transaction', async () => {
  expect(await send('write', 'a')).toEqual({ event: 'written', data: 'a' });
  expect(await db.texts()).toEqual(['a']);
});

test('one that throws is rolled back', async () => {
  expect(await send('write', 'fail')).toMatchObject({ event: 'exception' });
  expect(await db.texts()).toEqual([]);
});

test('each event has a session of its own, without any declaration', async () => {
  const [one, two] = [await send('ids', {}), await send('ids', {})];
  expect(new Set(one.data as string[]).size).toBe(1);
  expect((one.data as string[])[0]).not.toBe((two.data as string[])[0]);
});

test('uncommitted work is not acknowledged', async () => {
  expect(await send('unflushed', 'a')).toMatchObject({ event: 'exception' });
  expect(await db.texts()).toEqual([]);
});
