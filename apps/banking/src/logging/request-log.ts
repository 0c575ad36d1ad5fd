import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger as PinoLogger } from 'pino';
import { pinoHttp } from 'pino-http';
import { withRequestId } from './log.js';

/** A connect-style middleware. */
export type Middleware = (request: IncomingMessage, response: ServerResponse, next: () => void) => void;

/**
 * One log line for each request, when its answer has been sent or its client has gone. The request's id is the client's
 * `X-Request-Id` if it is a plain one, else a new one; the answer carries it.
 */
export function requestLog(log: PinoLogger): Middleware {
  const write = pinoHttp({
    logger: log,
    quietReqLogger: true,
    serializers: {
      req: ({ method, url }: { method: string; url: string }) => ({ method, url }),
      res: ({ statusCode }: { statusCode: number }) => ({ statusCode }),
    },
    customAttributeKeys: { reqId: 'requestId' },
    customLogLevel: (_, { statusCode, writableFinished }) => {
      // A client that did not stay for its answer.
      if (!writableFinished) return 'warn';
      return statusCode >= 500 ? 'error' : 'info';
    },
    // Which error it was is told by whoever met it; here it would only be "failed with status code 500".
    customErrorObject: (_request, _response, _error, { err: _, ...fields }: Record<string, unknown>) => fields,
  });
  return (request, response, next) => {
    const sent = request.headers['x-request-id'];
    const id = typeof sent === 'string' && /^[\w.:-]{1,128}$/.test(sent) ? sent : randomUUID();
    // Fastify has numbered the request already; the log below goes by this id.
    request.id = id;
    response.setHeader('X-Request-Id', id);
    withRequestId(id, () => {
      write(request, response, next);
    });
  };
}
