import type { Report } from '../diagnostics/report.js';
import type { AmbientUnit } from '../transaction/ambient-unit.js';
import type { RequestUnits } from './request-units.js';
import { hasUncommittedWork, refuseUncommitted } from './uncommitted-work.js';

/**
 * The check for uncommitted work of HTTP handlers, before the first byte of the answer: where the adapter of
 * this application replies. An interceptor would do too, but costs every request a good part of its
 * throughput, also those that never touch a session. What is thrown here reaches the exception filters, as if
 * the handler had thrown it.
 */

type Reply = (response: unknown, ...rest: unknown[]) => unknown;

const REPLYING = ['reply', 'render', 'redirect'] as const;

/** Nest's own class that sends what a handler returned; exception filters reply without it. */
const HANDLER_REPLY = /\bRouterResponseController\b/;

export function guardReplies(adapter: object, units: RequestUnits, report: Report): void {
  const replies = adapter as Record<(typeof REPLYING)[number], Reply | undefined>;
  for (const method of REPLYING) {
    const original = replies[method];
    if (typeof original !== 'function') continue;
    replies[method] = function (this: unknown, response: unknown, ...rest: unknown[]): unknown {
      const unit = unitOf(response, units);
      if (unit !== undefined && hasUncommittedWork(unit) && isHandlerReply()) {
        return refuse(unit, report, () => original.call(this, response, ...rest));
      }
      return original.call(this, response, ...rest);
    };
  }
}

function unitOf(response: unknown, units: RequestUnits): AmbientUnit | undefined {
  const { req, request } = response as { req?: unknown; request?: unknown };
  return units.find(req ?? request);
}

// Only asked when there is something to refuse.
function isHandlerReply(): boolean {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 12;
  const { stack = '' } = new Error();
  Error.stackTraceLimit = stackTraceLimit;
  return HANDLER_REPLY.test(stack);
}

async function refuse(unit: AmbientUnit, report: Report, reply: () => unknown): Promise<unknown> {
  const refusal = await refuseUncommitted(unit, unit.label, report);
  if (refusal !== null) throw refusal;
  return await reply();
}
