import { ensureDatabase, startEmbeddedPostgres } from '@nestjs-uow/embedded-postgres';
import type { Logger as PinoLogger } from 'pino';
import type { DatabaseConnection } from '../database/data-source-options.js';

/** A PostgreSQL for the bank. */
export interface BankDatabase {
  readonly connection: DatabaseConnection;
  /** Lets go of it, and stops it if it was started for us. */
  close(): Promise<void>;
}

/**
 * The server that `DATABASE_URL` names; without it, one of our own.
 *
 * @param dataDirectory where our own keeps its data; left out, it forgets everything at the end
 */
export async function openBankDatabase(log: PinoLogger, dataDirectory?: string): Promise<BankDatabase> {
  const url = process.env['DATABASE_URL'];
  if (url !== undefined && url !== '') return { connection: { url }, close: () => Promise.resolve() };
  const server = await startEmbeddedPostgres({
    ...(dataDirectory !== undefined && { dataDirectory }),
    log: (line) => {
      log.info({ context: 'PostgreSQL' }, line);
    },
  });
  try {
    await ensureDatabase(server, 'banking');
  } catch (error) {
    await server.stop();
    throw error;
  }
  return { connection: { url: server.url('banking') }, close: async () => await server.stop() };
}
