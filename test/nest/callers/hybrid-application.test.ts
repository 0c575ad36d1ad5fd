import type { AddressInfo, Server } from 'node:net';
import { Controller, Get, Module, UseInterceptors } from '@nestjs/common';
import type { INestApplication, Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientProxyFactory, MessagePattern, Transport } from '@nestjs/microservices';
import type { ClientProxy, MicroserviceOptions } from '@nestjs/microservices';
import { DbSession, TransactionInterceptor } from 'nestjs-uow';
import { firstValueFrom } from 'rxjs';
import { Notes, NotesDatabase } from '../notes-app.js';

@Controller()
class SessionController {
  constructor(private readonly session: DbSession) {}

  @Get('session')
  @MessagePattern('session')
  id(): string {
    return this.session.id;
  }
}

@UseInterceptors(TransactionInterceptor)
@Controller('intercepted')
class InterceptedController extends SessionController {}

let db: NotesDatabase;

beforeAll(async () => {
  db = await NotesDatabase.create();
});

afterAll(async () => {
  await db[Symbol.asyncDispose]();
});

/** One application that listens to HTTP and to messages. */
const start = async (
  controller: Type,
  inheritAppConfig: boolean,
): Promise<{ app: INestApplication; client: ClientProxy }> => {
  @Module({ imports: db.imports(), controllers: [controller], providers: [Notes] })
  class AppModule {}
  const app = await NestFactory.create(AppModule, { logger: false });
  const microservice = app.connectMicroservice<MicroserviceOptions>(
    { transport: Transport.TCP, options: { host: '127.0.0.1', port: 0 } },
    { inheritAppConfig },
  );
  await app.startAllMicroservices();
  await app.listen(0, '127.0.0.1');
  const { port } = microservice.unwrap<Server>().address() as AddressInfo;
  return {
    app,
    client: ClientProxyFactory.create({ transport: Transport.TCP, options: { host: '127.0.0.1', port } }),
  };
};

test.each([
  ['inherits the configuration of its application', SessionController, true],
  ['has the interceptor on its controllers', InterceptedController, false],
])('a microservice that %s has a session for each message', async (_name, controller, inherit) => {
  const { app, client } = await start(controller, inherit);
  const send = async (): Promise<string> => await firstValueFrom(client.send<string>('session', {}));
  const [one, two] = [await send(), await send()];
  expect(one).not.toBe(two);
  await client.close();
  await app.close();
});
