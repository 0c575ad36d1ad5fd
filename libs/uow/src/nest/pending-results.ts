import type { Report } from '../diagnostics/report.js';
import { currentFrame } from '../transaction/ambient.js';
import { TransactionScope } from '../transaction/transaction-scope.js';
import type { UnclaimedResult } from '../transaction/unclaimed.js';
import { ScopeAbandoned } from './held-scope.js';
import type { HeldScope } from './held-scope.js';

/**
 * A result that nobody has subscribed to (or iterated) yet. Its scope is open: where nothing was done in it, it is
 * closed soon; where something was, it waits for a subscriber until the scope or unit that called for it has ended,
 * or `warnAfter` passes; then it is rolled back and reported.
 */
export class PendingResult implements UnclaimedResult {
  readonly #held: HeldScope;
  readonly #label: string;
  readonly #report: Report;
  readonly #caller = currentFrame();
  #timer: NodeJS.Timeout | NodeJS.Immediate | undefined;
  #taken = false;

  /**
   * @param label how messages name the method
   * @param warnAfter milliseconds to wait for a subscriber
   */
  constructor(held: HeldScope, label: string, warnAfter: number, report: Report) {
    this.#held = held;
    this.#label = label;
    this.#report = report;
    if (this.#caller !== undefined) (this.#caller.unclaimed ??= new Set()).add(this);
    this.#timer = setImmediate(() => {
      if (this.#taken) return;
      if (this.#isUntouched()) {
        this.#taken = true;
        this.#held.succeed();
        return;
      }
      this.#timer = setTimeout(() => {
        this.abandon();
      }, warnAfter).unref();
    });
  }

  /** The open scope, for the first subscriber; `null` when it is gone, so that a new one has to be opened. */
  take(): HeldScope | null {
    if (this.#taken) return null;
    this.#forget();
    return this.#held;
  }

  /** Rolls back what was done for a result that nobody wanted, and says so. */
  abandon(): void {
    if (this.#taken) return;
    this.#forget();
    if (this.#isUntouched()) {
      this.#held.succeed();
      return;
    }
    const message =
      `${this.#label} returned a result that nobody subscribed to or iterated, after it had begun to work; the work is rolled back. ` +
      `Subscribe to the result, or return a promise.`;
    this.#held.fail(new ScopeAbandoned(message));
    this.#report({ code: 'UOW_WARN_NEVER_SUBSCRIBED', message });
  }

  #forget(): void {
    this.#taken = true;
    clearTimeout(this.#timer as NodeJS.Timeout | undefined);
    this.#caller?.unclaimed?.delete(this);
  }

  #isUntouched(): boolean {
    const scope = this.#held.frame;
    if (!(scope instanceof TransactionScope)) return true;
    const { transaction, context } = scope;
    if (scope.busy || scope.mark !== null) return false;
    if (transaction === null || scope.kind !== 'root') return true;
    const { hooks } = transaction;
    return (
      !transaction.begun &&
      context.synchronization === null &&
      Object.values(hooks).every((list) => !Array.isArray(list) || list.length === 0)
    );
  }
}
