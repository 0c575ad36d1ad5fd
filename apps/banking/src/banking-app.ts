import type { INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { Logger as PinoLogger } from 'pino';
import { BankingModule } from './banking.module.js';
import type { DatabaseConnection } from './database/data-source-options.js';
import { serveApiDocs } from './http/api-docs.js';
import { ConnectionDrain } from './http/connection-drain.js';
import { createLog } from './logging/log.js';
import { NestLog } from './logging/nest-log.js';
import { requestLog } from './logging/request-log.js';

/** How to build the bank. */
export interface BankingAppOptions {
  /** A database that has been migrated. */
  readonly database: DatabaseConnection;
  /** The HTTP server under Nest. Default: Express. */
  readonly adapter?: 'express' | 'fastify';
  /** How many database connections to hold at most. Default: 10. */
  readonly poolSize?: number;
  /** Default: a log of warnings and errors. */
  readonly log?: PinoLogger;
}

/** Builds the bank, ready to listen. */
export async function createBankingApp(options: BankingAppOptions): Promise<INestApplication> {
  const { database, adapter = 'express', poolSize = 10, log = createLog('warn') } = options;
  const module = BankingModule.register({ database, poolSize });
  const nestOptions = { logger: new NestLog(log), abortOnError: false };
  const app =
    adapter === 'fastify'
      ? await NestFactory.create(module, await fastifyAdapter(), nestOptions)
      : await NestFactory.create(module, nestOptions);
  app.use(requestLog(log));
  app.use(app.get(ConnectionDrain).middleware);
  serveApiDocs(app);
  return app;
}

/** Builds the bank and lets it listen on a free port of this machine, or the given one. */
export async function startBankingApp(
  options: BankingAppOptions & { readonly port?: number },
): Promise<{ readonly app: INestApplication; readonly url: string }> {
  const app = await createBankingApp(options);
  try {
    await app.listen(options.port ?? 0, '127.0.0.1');
  } catch (error) {
    await app.close();
    throw error;
  }
  return { app, url: await app.getUrl() };
}

/** Loaded on demand: who runs the bank on Express need not install Fastify. */
async function fastifyAdapter() {
  const { FastifyAdapter } = await import('@nestjs/platform-fastify');
  return new FastifyAdapter();
}
