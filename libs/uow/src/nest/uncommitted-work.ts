import type { Report } from '../diagnostics/report.js';
import { UncommittedWorkError } from '../errors/module-errors.js';
import type { AmbientUnit } from '../transaction/ambient-unit.js';
import type { TransactionContext } from '../transaction/transaction-context.js';

/**
 * A handler that returns while its session has an open transaction or unflushed changes must not be answered
 * with a success: nothing of that work will be stored.
 */

/**
 * Looks for work that its handler left open, and rolls it back.
 *
 * @param handler how messages name it, such as `POST /transfers`
 * @returns the error to answer with; `null` where there is nothing, or where a warning is enough
 */
export async function refuseUncommitted(
  unit: AmbientUnit,
  handler: string,
  report: Report,
): Promise<UncommittedWorkError | null> {
  let refusal: UncommittedWorkError | null = null;
  for (const context of unit.contexts) {
    const left = leftOpen(context);
    if (left === null) continue;
    const error = new UncommittedWorkError(
      `${handler} returned while its session on data source "${context.database.name}" had ${left}. It was rolled back. ` +
        `Declare the work @Transactional(), or end it with session.commit() or session.rollback() before returning.`,
    );
    if (context.database.options.uncommitted === 'error') refusal ??= error;
    else report({ code: 'UOW_WARN_UNCOMMITTED_WORK', message: error.message, error });
    await context.discard();
  }
  return refusal;
}

/** Tells of work that was left open by what bypasses the check (`@Res()`, a hijacked socket). */
export function warnOfUncommittedWork(unit: AmbientUnit, handler: string, report: Report): void {
  for (const context of unit.contexts) {
    const left = leftOpen(context);
    if (left === null) continue;
    report({
      code: 'UOW_WARN_UNCOMMITTED_WORK',
      message:
        `${handler} was answered with a success although its session on data source "${context.database.name}" had ${left}. It is rolled back. ` +
        `Declare the work @Transactional(), or end it with session.commit() or session.rollback() before answering.`,
    });
  }
}

/** True where a handler that returned now would leave something open. */
export function hasUncommittedWork(unit: AmbientUnit): boolean {
  for (const context of unit.contexts) if (leftOpen(context) !== null) return true;
  return false;
}

function leftOpen(context: TransactionContext): string | null {
  // What a scope that still runs has done is its own to commit.
  return context.busy ? null : context.openWork();
}
