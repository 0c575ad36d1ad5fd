import type { Report } from '../diagnostics/report.js';
import type { AmbientUnit } from '../transaction/ambient-unit.js';
import type { TransactionContext } from '../transaction/transaction-context.js';
import { warnOfUncommittedWork } from './uncommitted-work.js';

/**
 * The unit (and so the session) of each request, found by the request: for Nest's own request scope, and to
 * enter it again where the async context was lost on the way.
 */
export class RequestUnits {
  readonly #units = new WeakMap<object, AmbientUnit>();
  readonly #report: Report;
  readonly #abortsOnDisconnect: (context: TransactionContext) => boolean;

  /**
   * @param abortsOnDisconnect whether a transaction ends when its client goes away before the response
   */
  constructor(report: Report, abortsOnDisconnect: (context: TransactionContext) => boolean) {
    this.#report = report;
    this.#abortsOnDisconnect = abortsOnDisconnect;
  }

  set(request: object, unit: AmbientUnit): void {
    this.#units.set(request, unit);
  }

  /**
   * @param request Node's or Fastify's request, a GraphQL context with its `req`, or the context of a message
   */
  find(request: unknown): AmbientUnit | undefined {
    if (typeof request !== 'object' || request === null) return undefined;
    const { raw, req, context } = request as { raw?: unknown; req?: unknown; context?: unknown };
    for (const one of [request, raw, req, context]) {
      if (typeof one !== 'object' || one === null) continue;
      const unit = this.#units.get(one) ?? this.#units.get((one as { raw?: object }).raw ?? one);
      if (unit !== undefined) return unit;
    }
    return undefined;
  }

  /**
   * The response has ended: the unit goes when its running scopes have settled.
   *
   * @param finished false when the client went away first
   * @param acknowledged true when the client was told of a success
   */
  ended(unit: AmbientUnit, finished: boolean, acknowledged: boolean): void {
    if (finished && acknowledged) warnOfUncommittedWork(unit, unit.label, this.#report);
    if (!finished) {
      const reason = new Error(`the client of ${unit.label} went away`);
      for (const context of unit.contexts) {
        if (this.#abortsOnDisconnect(context)) {
          context.transaction?.abort(context.cancelled(unit.label, reason));
        }
      }
    }
    this.release(unit);
  }

  /** Closes a unit once its running scopes have settled; whoever opened it does not wait. */
  release(unit: AmbientUnit): void {
    void this.#close(unit);
  }

  async #close(unit: AmbientUnit): Promise<void> {
    try {
      await unit.settled();
      await unit.close();
    } catch (error) {
      this.#report({
        code: 'UOW_WARN_CLOSE_FAILED',
        message: `The session of ${unit.label} could not be closed cleanly: ${error instanceof Error ? error.message : String(error)}`,
        error,
      });
    }
  }
}
