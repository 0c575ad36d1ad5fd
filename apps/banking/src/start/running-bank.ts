import type { Server } from 'node:http';
import type { INestApplication } from '@nestjs/common';
import type { Logger as PinoLogger } from 'pino';
import { createBankingApp } from '../banking-app.js';
import { migrate } from '../database/migrate.js';
import { openBankDatabase } from './bank-database.js';
import { listen, parsePort } from './listen.js';

/** How long answers on their way may take once the bank is told to close. */
const DRAIN_MS = 10_000;

/** A bank that is open. */
export interface RunningBank {
  readonly app: INestApplication;
  readonly url: string;
  /** Takes no more requests, answers those it has, then lets go of the database. */
  close(): Promise<void>;
}

/** How to open a bank. */
export interface OpeningOptions {
  readonly log: PinoLogger;
  /** `PORT`: this port and no other. Without it, 3000 or the next one that is free. */
  readonly port: string | undefined;
  /** `HOST`: the bank asks nobody who they are, so it is reached from its own machine only unless told otherwise. */
  readonly host: string | undefined;
  /** Where the bank's own PostgreSQL keeps its data, if it needs one. Left out: nowhere. */
  readonly dataDirectory?: string;
  /** Runs before the first request is taken. */
  readonly prepare?: (app: INestApplication) => Promise<void>;
}

/** Opens a bank: database, schema, application, port. Whatever was started is stopped again if a later step fails. */
export async function openBank({ log, dataDirectory, prepare, ...options }: OpeningOptions): Promise<RunningBank> {
  const port = parsePort(options.port);
  const host = options.host === undefined || options.host === '' ? '127.0.0.1' : options.host;
  const database = await openBankDatabase(log, dataDirectory);
  let app: INestApplication | undefined;
  const close = async (): Promise<void> => {
    const server = app?.getHttpServer() as Server | undefined;
    const patience = setTimeout(() => server?.closeAllConnections(), DRAIN_MS);
    try {
      await app?.close();
    } finally {
      clearTimeout(patience);
      await database.close();
    }
  };
  try {
    await migrate(database.connection);
    app = await createBankingApp({ database: database.connection, log });
    await app.init();
    await prepare?.(app);
    const url = await listen(app, host, port);
    return { app, url, close };
  } catch (error) {
    await close();
    throw error;
  }
}
