// One Nest application in a process of its own: `transfers` of a contender, or a GET without a database.
import type { AddressInfo } from 'node:net';
import { Body, Controller, Get, Inject, Module, Post, Scope, type ModuleMetadata } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { REQUEST_DB_SESSION, type DbSession } from 'nestjs-uow';
import type { ContenderModule, TransferDesk } from '../contenders/contender.js';

export type HttpMessage = { readonly port: number } | { readonly cpuMs: number };

const [kind, name, url] = process.argv.slice(2) as [
  'transfers' | 'get' | 'get-session' | 'get-request',
  string,
  string,
];
const address = { url, poolSize: 16 };
const desk = Symbol('desk');

@Controller('transfers')
class TransfersController {
  constructor(@Inject(desk) readonly transfers: TransferDesk) {}

  @Post()
  async create(@Body() body: { source: number; target: number; amount: number }): Promise<{ done: boolean }> {
    await this.transfers.transfer(body.source, body.target, body.amount);
    return { done: true };
  }
}

@Controller('hello')
class HelloController {
  @Get()
  hello(): { hello: string } {
    return { hello: 'world' };
  }
}

@Controller('hello')
class SessionController {
  constructor(@Inject(REQUEST_DB_SESSION) readonly session: DbSession) {}

  @Get()
  hello(): { hello: string } {
    return { hello: 'world' };
  }
}

@Controller({ path: 'hello', scope: Scope.REQUEST })
class RequestController {
  @Get()
  hello(): { hello: string } {
    return { hello: 'world' };
  }
}

async function parts(): Promise<ModuleMetadata> {
  const contender = name === 'none' ? undefined : ((await import(`../contenders/${name}.ts`)) as ContenderModule);
  if (kind !== 'transfers') {
    const controllers = { get: HelloController, 'get-session': SessionController, 'get-request': RequestController };
    return { imports: contender?.httpParts?.(address).imports ?? [], controllers: [controllers[kind]] };
  }
  if (contender?.httpParts !== undefined) {
    const { imports, desk: useClass } = contender.httpParts(address);
    return { imports, controllers: [TransfersController], providers: [{ provide: desk, useClass }] };
  }
  return {
    controllers: [TransfersController],
    providers: [{ provide: desk, useFactory: () => contender!.open(address) }],
  };
}

@Module(await parts())
class AppModule {}

const app = await NestFactory.create<NestExpressApplication>(AppModule, { logger: false });
app.disable('x-powered-by');
app.disable('etag');
await app.listen(0, '127.0.0.1');

function tell(message: HttpMessage): void {
  process.send!(message);
}

let cpu = process.cpuUsage();
process.on('message', () => {
  const { user, system } = process.cpuUsage(cpu);
  cpu = process.cpuUsage();
  tell({ cpuMs: (user + system) / 1000 });
});
process.on('disconnect', () => {
  process.exit();
});
tell({ port: (app.getHttpServer().address() as AddressInfo).port });
