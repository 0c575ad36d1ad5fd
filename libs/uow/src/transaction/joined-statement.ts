import { BatchFailure } from '../database/batch.js';
import type { StatementResult } from '../database/statement.js';
import { TransactionClosedError } from '../errors/transaction-errors.js';
import type { GivingUp } from './giving-up.js';
import type { TransactionWire } from './transaction-wire.js';

/** Statements of plain TypeORM code, which expects the driver's own results and errors. */

const ROLLBACK_TO = /^\s*ROLLBACK\s+(?:(?:WORK|TRANSACTION)\s+)?TO\b/i;
const WRITES = /^\s*(?:INSERT|UPDATE|DELETE|MERGE|WITH|CALL|DO|COPY|TRUNCATE)\b/i;

/**
 * Runs one; the caller has the turn.
 * @returns the driver's result; the last one for a text of several statements
 * @throws the driver's error
 */
export async function sendJoined(
  wire: TransactionWire,
  givingUp: GivingUp,
  readOnly: boolean,
  text: string,
  values: readonly unknown[] | undefined,
): Promise<StatementResult> {
  if (givingUp.reason !== null) throw refusal(givingUp.reason);
  const { failure } = wire;
  if (failure !== null && !ROLLBACK_TO.test(text)) throw refusal(failure);
  try {
    if ((values === undefined || values.length === 0) && isScript(text)) return await wire.sendScript(text);
    const readId = WRITES.test(text) && failure === null && !readOnly;
    const [result] = await wire.send([{ text, values }], readId);
    if (failure !== null && wire.connection?.status === 'T') wire.forgiveTop();
    return result as StatementResult;
  } catch (error) {
    const reason = givingUp.behind(error);
    if (reason !== null) throw refusal(reason);
    throw error instanceof BatchFailure ? error.driverError : error;
  }
}

/** What PostgreSQL would say (25P02), with the first failure as its cause. */
function refusal(failure: unknown): Error {
  if (failure instanceof TransactionClosedError) return failure;
  const first = failure instanceof Error ? failure.message : String(failure);
  const error = new Error(
    `current transaction is aborted, commands ignored until end of transaction block; first failure: ${first}`,
  );
  return Object.assign(error, { code: '25P02', severity: 'ERROR', cause: failure });
}

/** True for a text of more than one statement, which only the simple protocol takes. */
function isScript(text: string): boolean {
  const end = text.indexOf(';');
  return end !== -1 && /\S/.test(text.slice(end + 1));
}
