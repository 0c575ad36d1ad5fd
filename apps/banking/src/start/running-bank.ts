import type { Server } from 'node:http';
import type { INestApplication } from '@nestjs/common';
import type { Logger as PinoLogger } from 'pino';
import { createBankingApp } from '../banking-app.js';
import { migrate } from '../database/migrate.js';
import { openBankDatabase } from './bank-database.js';
import { listen, type ListenOptions } from './listen.js';

/** How long answers on their way may take once the bank is told to close. */
const DRAIN_MS = 10_000;

/** A bank that is open. */
export interface RunningBank {
  readonly app: INestApplication;
  readonly url: string;
  /** Takes no more requests, answers those it has, then lets go of the database. */
  close(): Promise<void>;
}

/** Opens a bank: database, schema, application, port. Whatever was started is stopped again if a later step fails. */
export async function openBank(
  options: ListenOptions & {
    readonly log: PinoLogger;
    /** Where the bank's own PostgreSQL keeps its data, if it needs one. Left out: nowhere. */
    readonly dataDirectory?: string;
    /** Runs before the first request is taken. */
    readonly prepare?: (app: INestApplication) => Promise<void>;
  },
): Promise<RunningBank> {
  const { log, dataDirectory, prepare } = options;
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
    const url = await listen(app, options);
    return { app, url, close };
  } catch (error) {
    await close();
    throw error;
  }
}
