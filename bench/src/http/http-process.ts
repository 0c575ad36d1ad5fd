// One Nest application in a process of its own: `transfers` of a contender, or a GET without a database.
import { AsyncLocalStorage } from 'node:async_hooks';
import type { AddressInfo } from 'node:net';
import { Body, Controller, Get, Inject, Module, Post, Scope, type ModuleMetadata } from '@nestjs/common';
import type { INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { REQUEST_DB_SESSION, type DbSession } from 'nestjs-uow';
import type { ContenderModule, TransferDesk } from '../contenders/contender.js';

export type HttpMessage = { readonly port: number } | { readonly cpuMs: number };

export type Kind = 'transfers' | 'get' | 'get-session' | 'get-request';
export type Platform = 'Express' | 'Fastify';
/** What runs in front of each request, to compare with. */
export type Layer = 'none' | 'no-op' | 'async-local-storage';

const [kind, name, url, platform, layer] = process.argv.slice(2) as [Kind, string, string, Platform, Layer];
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
  const contender = name === 'none' ? undefined : ((await import(`../contenders/${name}.js`)) as ContenderModule);
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

const storage = new AsyncLocalStorage<object>();

const layers: Readonly<Record<Layer, ((next: () => void) => void) | undefined>> = {
  none: undefined,
  'no-op': (next) => {
    next();
  },
  'async-local-storage': (next) => {
    storage.run({}, next);
  },
};

async function express(): Promise<INestApplication> {
  const made = await NestFactory.create<NestExpressApplication>(AppModule, { logger: false });
  made.disable('x-powered-by');
  made.disable('etag');
  const run = layers[layer];
  if (run !== undefined) {
    made.use((_request: unknown, _response: unknown, next: () => void) => {
      run(next);
    });
  }
  return made;
}

async function fastify(): Promise<INestApplication> {
  const made = await NestFactory.create<NestFastifyApplication>(AppModule, new FastifyAdapter(), { logger: false });
  const run = layers[layer];
  if (run !== undefined) {
    made
      .getHttpAdapter()
      .getInstance()
      .addHook('onRequest', (_request, _reply, done) => {
        run(done);
      });
  }
  return made;
}

const app = platform === 'Express' ? await express() : await fastify();
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
