import type { Report } from '../diagnostics/report.js';
import type { AmbientUnit } from '../transaction/ambient-unit.js';
import { currentFrame } from '../transaction/ambient.js';
import type { Frame } from '../transaction/ambient.js';
import type { TransactionManager } from '../transaction/transaction-manager.js';
import { abandonUnclaimed } from '../transaction/unclaimed.js';
import { privateField } from './private-field.js';
import { RequestUnit } from './request-unit.js';
import type { EndingResponse } from './request-unit.js';
import { warnOfUncommittedWork } from './uncommitted-work.js';

const FIRST_ERROR_STATUS = 400;

/**
 * The unit (and so the session) of each request, found by the request: for Nest's own request scope, and to
 * enter it again where the async context was lost on the way.
 */
export class RequestUnits {
  readonly #units = privateField<AmbientUnit>();
  readonly #prepared = new WeakSet<AmbientUnit>();
  readonly #report: Report;
  readonly #responseEnded = (unit: RequestUnit, { writableFinished, statusCode }: EndingResponse): void => {
    if (writableFinished && statusCode < FIRST_ERROR_STATUS) warnOfUncommittedWork(unit, unit.label, this.#report);
    this.release(unit);
  };

  constructor(report: Report) {
    this.#report = report;
  }

  /**
   * A unit for a message whose request-scoped providers Nest makes before any interceptor runs; the
   * interceptor of the message takes it over.
   */
  prepare(request: unknown, manager: TransactionManager): AmbientUnit | undefined {
    const context = messageContext(request);
    if (context === undefined) return undefined;
    const unit = manager.openUnit('a message');
    this.#units.set(context, unit);
    this.#prepared.add(unit);
    return unit;
  }

  /** The unit that was prepared for a message, once. */
  takePrepared(context: unknown): AmbientUnit | undefined {
    const unit = this.find(context);
    return unit !== undefined && this.#prepared.delete(unit) ? unit : undefined;
  }

  /**
   * @param request Node's or Fastify's request, a GraphQL context with its `req`, or the context of a message
   */
  find(request: unknown): AmbientUnit | undefined {
    if (typeof request !== 'object' || request === null) return undefined;
    const own = this.#units.get(request);
    if (own !== undefined) return own;
    const { raw, req, context } = request as { raw?: unknown; req?: unknown; context?: unknown };
    for (const one of [raw, req, context]) {
      if (typeof one !== 'object' || one === null) continue;
      const unit = this.#units.get(one) ?? this.#units.get((one as { raw?: object }).raw ?? one);
      if (unit !== undefined) return unit;
    }
    return undefined;
  }

  /** Aborted when the client of the running request goes away; undefined outside every request. */
  disconnectSignal(manager: TransactionManager): AbortSignal | undefined {
    for (let frame = currentFrame() ?? null; frame !== null; frame = frame.parent) {
      if (frame.owner !== manager || !(frame instanceof RequestUnit)) continue;
      const signal = frame.disconnectSignal();
      if (signal !== undefined) return signal;
    }
    return undefined;
  }

  /** Opens the unit of a request that will be answered: it goes when the response has ended and its scopes have settled. */
  open(
    request: object,
    manager: TransactionManager,
    parent: Frame | null,
    label: string,
    response: EndingResponse,
  ): RequestUnit {
    const unit = new RequestUnit(manager, parent, label, response, this.#responseEnded);
    this.#units.set(request, unit);
    return unit;
  }

  /** Closes a unit once its running scopes have settled; whoever opened it does not wait. */
  release(unit: AmbientUnit): void {
    abandonUnclaimed(unit);
    try {
      // Most requests leave nothing to wait for.
      const closing = unit.busy ? closeOnceSettled(unit) : unit.closing();
      closing?.catch((error: unknown) => {
        this.#closeFailed(unit, error);
      });
    } catch (error) {
      this.#closeFailed(unit, error);
    }
  }

  #closeFailed(unit: AmbientUnit, error: unknown): void {
    this.#report({
      code: 'UOW_WARN_CLOSE_FAILED',
      message: `The session of ${unit.label} could not be closed cleanly: ${error instanceof Error ? error.message : String(error)}`,
      error,
    });
  }
}

async function closeOnceSettled(unit: AmbientUnit): Promise<void> {
  await unit.settled();
  await unit.close();
}

/** Nest's `RequestContextHost` of a message: its context is one object per message. */
function messageContext(request: unknown): object | undefined {
  if (typeof request !== 'object' || request === null || !('pattern' in request)) return undefined;
  const { context } = request as { context?: unknown };
  return typeof context === 'object' && context !== null ? context : undefined;
}
