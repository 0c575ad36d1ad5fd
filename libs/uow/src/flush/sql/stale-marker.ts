import { randomBytes } from 'node:crypto';

/**
 * How a statement says that a row is not as expected: it casts a text that only this process knows to integer,
 * so the server fails it (22P02) and skips whatever travels behind it, COMMIT included. The text always holds
 * something that only execution knows, because the planner would evaluate a constant cast at once.
 */
const NONCE = randomBytes(9).toString('base64url');
const PATTERN = new RegExp(`"uow ${NONCE} (\\d+) ([\\d,]*)"`);

/** SQL of an integer that fails with the given rows (an SQL text of ordinals, separated by commas). */
export function failWith(statementId: number, ordinals: string): string {
  return `('uow ${NONCE} ${statementId} ' || ${ordinals})::integer`;
}

/** Which statement found which rows missing, by ordinal from 1. */
export interface StaleRows {
  readonly statementId: number;
  readonly ordinals: readonly number[];
}

/** Reads the marker out of a server's error, or one of its causes; null for any other error. */
export function staleRowsOf(error: unknown): StaleRows | null {
  for (let at = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    const found = PATTERN.exec(at.message);
    if (found !== null) {
      const ordinals = found[2] === '' ? [] : found[2]!.split(',').map(Number);
      return { statementId: Number(found[1]), ordinals };
    }
  }
  return null;
}
