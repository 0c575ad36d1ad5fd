// Does the counted work in a process of its own, which was started so that it neither optimizes nor collects garbage.
import { once } from 'node:events';
import type { Server } from 'node:http';
import { Session } from 'node:inspector/promises';
import { connect, type AddressInfo } from 'node:net';
import { Controller, Get, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { httpParts, open } from '../contenders/nestjs-uow.js';
import { countedWork, type Counted, type CountedWork } from './counted-work.js';

/** `counts` asks for what the proxy has seen since the last time. */
export type CounterMessage =
  | { readonly kind: 'begin' }
  | { readonly kind: 'end'; readonly work: string; readonly operations: number; readonly allocated: number }
  | { readonly kind: 'steps'; readonly work: string; readonly operations: number; readonly steps: number }
  | { readonly kind: 'done' };

const [url] = process.argv.slice(2) as [string];
const address = { url, poolSize: 1 };

@Controller('hello')
class HelloController {
  @Get()
  hello(): { hello: string } {
    return { hello: 'world' };
  }
}

@Module({ imports: httpParts(address).imports, controllers: [HelloController] })
class WebModule {}

/** The parent answers each message, so that its counts belong to what was done before. */
async function tell(message: CounterMessage): Promise<void> {
  const answer = once(process, 'message');
  process.send!(message);
  await answer;
}

async function repeat({ run, times }: CountedWork, on: Counted, from: number): Promise<void> {
  for (let time = 0; time < times; time++) await run(on, from + time);
}

async function opened(): Promise<Counted> {
  const contender = await open(address);
  const web = await NestFactory.create(WebModule, { logger: false });
  await web.listen(0, '127.0.0.1');
  const server = web.getHttpServer() as Server;
  // The connection is idle while other work is counted.
  server.keepAliveTimeout = 0;
  const { port } = server.address() as AddressInfo;
  const socket = connect({ host: '127.0.0.1', port, noDelay: true });
  await once(socket, 'connect');
  const request = Buffer.from('GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
  return {
    contender,
    get: () =>
      new Promise((resolve) => {
        socket.once('data', () => {
          resolve();
        });
        socket.write(request);
      }),
  };
}

const on = await opened();
const library = new URL('../../../libs/uow/dist/', import.meta.url).href;

for (const work of countedWork) {
  for (let warm = 0; warm < 2; warm++) await repeat(work, on, warm * work.times);
  await tell({ kind: 'begin' });
  globalThis.gc!();
  const { heapUsed } = process.memoryUsage();
  await repeat(work, on, 2 * work.times);
  const allocated = process.memoryUsage().heapUsed - heapUsed;
  await tell({ kind: 'end', work: work.name, operations: work.times * work.operations, allocated });
}

const inspector = new Session();
inspector.connect();
await inspector.post('Profiler.enable');
await inspector.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
for (const work of countedWork) {
  await inspector.post('Profiler.takePreciseCoverage');
  await repeat(work, on, 3 * work.times);
  const { result } = await inspector.post('Profiler.takePreciseCoverage');
  let steps = 0;
  for (const { url: script, functions } of result) {
    if (!script.startsWith(library)) continue;
    for (const { ranges } of functions) for (const { count } of ranges) steps += count;
  }
  await tell({ kind: 'steps', work: work.name, operations: work.times * work.operations, steps });
}
await tell({ kind: 'done' });
