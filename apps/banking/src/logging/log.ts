import { AsyncLocalStorage } from 'node:async_hooks';
import { type DestinationStream, type Logger as PinoLogger, pino } from 'pino';

/** The request that the code at hand works for, for the log alone. */
const currentRequestId = new AsyncLocalStorage<string>();

/**
 * The log of the bank: one JSON object a line, each with the id of the request it belongs to.
 *
 * @param level the least that is written: `debug`, `info`, `warn`, `error`, or `silent`
 * @param destination where to; the standard output if left out
 */
export function createLog(level: string, destination?: DestinationStream): PinoLogger {
  const options = {
    level,
    base: null,
    serializers: { err: describeError },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    mixin: (fields: object) => {
      const requestId = currentRequestId.getStore();
      // The line about a request's end, the one with `res`, brings its id along: it may be written outside its context.
      return requestId === undefined || 'res' in fields ? {} : { requestId };
    },
  };
  return destination === undefined ? pino(options) : pino(options, destination);
}

/**
 * What happened and where. The rest of a database error may be about customers: its parameters, and its detail, which
 * quotes the row.
 */
function describeError(error: Error): object {
  const { type, message, stack } = pino.stdSerializers.err(error);
  const { code, detail } = error as { code?: unknown; detail?: unknown };
  const withoutDetail = (text: string): string =>
    typeof detail === 'string' && detail !== '' ? text.replaceAll(detail, '…') : text;
  return {
    type,
    ...(code !== undefined && { code }),
    message: withoutDetail(message),
    stack: withoutDetail(stack),
  };
}

/** Runs `work` so that every line which it logs, now or later, names the request. */
export function withRequestId<T>(requestId: string, work: () => T): T {
  return currentRequestId.run(requestId, work);
}
