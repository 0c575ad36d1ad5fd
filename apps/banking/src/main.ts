import 'reflect-metadata';
import { randomUUID } from 'node:crypto';
import { EmbeddedPostgresError } from '@nestjs-uow/embedded-postgres';
import { createLog } from './logging/log.js';
import { DemoBankService } from './seed/demo-bank.service.js';
import { PortUnavailable } from './start/listen.js';
import { openBank, type RunningBank } from './start/running-bank.js';

/** Signals that follow each other this closely are one. */
const SAME_SIGNAL_MS = 500;

/** Starts the bank, tells how to try it, and closes it in good order on SIGINT and SIGTERM. */
async function main(): Promise<void> {
  const log = createLog(process.env['LOG_LEVEL'] ?? 'info');
  const bank = await openBank({
    log,
    port: process.env['PORT'],
    host: process.env['HOST'],
    dataDirectory: process.env['DATA_DIRECTORY'] ?? '.data/postgres',
    prepare: async (app) => {
      await app.get(DemoBankService, { strict: false }).seed();
    },
  });
  closeOnSignal(bank);
  process.stdout.write(await greeting(bank));
}

function closeOnSignal(bank: RunningBank): void {
  let asked: number | undefined;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (asked !== undefined) {
      // Whoever asks again does not want to wait. (One Ctrl-C may arrive twice: from the terminal, and through npm.)
      if (performance.now() - asked > SAME_SIGNAL_MS) process.exit(1);
      return;
    }
    asked = performance.now();
    process.stdout.write(`${signal}: the bank closes once its last request is answered.\n`);
    bank.close().catch(fail);
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
}

async function greeting({ app, url }: RunningBank): Promise<string> {
  const opening = `\nThe bank is open: ${url} (its API: ${url}/docs)\n`;
  const examples = await app.get(DemoBankService, { strict: false }).examples();
  if (examples === null) return `${opening}\n`;
  const [source, target] = examples;
  const order = {
    fromAccountId: source.id,
    toAccountId: target.id,
    amount: '100',
    currency: source.currency,
    reference: 'Coffee',
  };
  return `${opening}
  curl ${url}/accounts/${source.id}
  curl ${url}/transfers -H 'Content-Type: application/json' -H 'Idempotency-Key: ${randomUUID()}' -d '${JSON.stringify(order)}'
  curl '${url}/accounts/${source.id}/statement?limit=5'

`;
}

function fail(error: unknown): void {
  process.stderr.write(`${explain(error)}\n`);
  process.exitCode = 1;
}

/** What the one who starts the bank can do something about needs no stack. */
function explain(error: unknown): string {
  if (error instanceof PortUnavailable || error instanceof EmbeddedPostgresError) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

main().catch(fail);
