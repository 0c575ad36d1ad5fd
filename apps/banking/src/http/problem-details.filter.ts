import type { ServerResponse } from 'node:http';
import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException, Logger } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { AccountChangedMeanwhile } from '../accounts/account-errors.js';
import { Refusal, type RefusalCode } from '../refusals/refusal.js';
import { InvalidInput } from './invalid-input.js';
import { namedProblem, plainProblem, PROBLEM_JSON, type ProblemDetails } from './problem-details.js';

const STATUS_OF_REFUSAL: Record<RefusalCode, number> = {
  'unknown-account': 404,
  'insufficient-funds': 422,
  'currency-mismatch': 422,
  'account-not-active': 422,
  'account-not-empty': 422,
  'balance-limit-exceeded': 422,
  'bank-owned-account': 422,
  // As draft-ietf-httpapi-idempotency-key-header asks.
  'idempotency-key-reused': 422,
};

const FASTER = 'Somebody else changed the same data at the same time. Nothing was done; the request may be sent again.';

/**
 * What the library's errors mean to a client, by their stable codes. The messages stay inside: they speak of entities
 * and methods, which are no client's business.
 */
const PROBLEM_OF_LIBRARY_CODE: Readonly<Record<string, () => ProblemDetails>> = {
  UOW_ENTITY_NOT_FOUND: () => plainProblem(404, 'There is nothing under this id.'),
  UOW_STALE_DATA: () => namedProblem(409, 'conflict', FASTER),
  UOW_SERIALIZATION_FAILURE: () => namedProblem(409, 'conflict', FASTER),
  UOW_DEADLOCK: () => namedProblem(409, 'conflict', FASTER),
  UOW_LOCK_NOT_AVAILABLE: () => namedProblem(409, 'conflict', FASTER),
  UOW_UNIQUE_VIOLATION: () => namedProblem(409, 'already-exists', 'There is one like this already.'),
  UOW_POOL_EXHAUSTED: () => plainProblem(503, 'Too much to do at the moment.'),
  UOW_TRANSACTION_TIMED_OUT: () => plainProblem(503, 'It took too long, and was not done.'),
  UOW_CONNECTION_LOST: () => plainProblem(503, 'The database cannot be reached.'),
};

/** The same for SQLSTATEs, since plain TypeORM code gets TypeORM's own errors. */
const LIBRARY_CODE_OF_SQLSTATE: Readonly<Record<string, string>> = {
  '23505': 'UOW_UNIQUE_VIOLATION',
  '40001': 'UOW_SERIALIZATION_FAILURE',
  '40P01': 'UOW_DEADLOCK',
  '55P03': 'UOW_LOCK_NOT_AVAILABLE',
};

/** Answers every error as `application/problem+json` (RFC 9457). Whatever is not known to be the client's is a 500, and logged. */
@Catch()
export class ProblemDetailsFilter implements ExceptionFilter {
  private readonly logger = new Logger('http');

  constructor(private readonly adapterHost: HttpAdapterHost) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const problem = problemOf(error);
    if (problem.status >= 500) this.logger.error(error);
    const response = host.switchToHttp().getResponse<ServerResponse | { raw: ServerResponse }>();
    const { httpAdapter } = this.adapterHost;
    if (httpAdapter.isHeadersSent(response)) {
      // Too late for an answer of ours. Cut off, the half that has been sent does not pass for a whole.
      ('raw' in response ? response.raw : response).destroy();
      return;
    }
    httpAdapter.setHeader(response, 'Content-Type', PROBLEM_JSON);
    httpAdapter.reply(response, problem, problem.status);
  }
}

function problemOf(error: unknown): ProblemDetails {
  if (error instanceof Refusal) return namedProblem(STATUS_OF_REFUSAL[error.code], error.code, error.message);
  if (error instanceof AccountChangedMeanwhile) return namedProblem(409, 'conflict', error.message);
  if (error instanceof InvalidInput) {
    return { ...namedProblem(400, 'invalid-input', error.message), errors: [...error.errors] };
  }
  if (error instanceof HttpException) return problemOfHttpException(error);
  return problemOfLibrary(error) ?? problemOfFramework(error) ?? plainProblem(500);
}

function problemOfHttpException(error: HttpException): ProblemDetails {
  const body = error.getResponse();
  const status = error.getStatus();
  // Nest's own exceptions carry { message, error, statusCode }, which the problem already says in its words. Others,
  // such as a failed health check, carry what the client came for.
  if (typeof body === 'object' && !('statusCode' in body)) return { ...plainProblem(status), ...withoutStatus(body) };
  return plainProblem(status, error.message);
}

function withoutStatus({ status: _, ...members }: { status?: unknown }): object {
  return members;
}

function problemOfLibrary(error: unknown): ProblemDetails | undefined {
  const { code, driverError } = errorFields(error);
  const sqlState = driverError === undefined ? undefined : errorFields(driverError).code;
  const libraryCode = sqlState === undefined ? code : LIBRARY_CODE_OF_SQLSTATE[sqlState];
  return libraryCode === undefined ? undefined : PROBLEM_OF_LIBRARY_CODE[libraryCode]?.();
}

/** Body parsers throw errors of their own, with a status: a body too large, or no JSON. */
function problemOfFramework(error: unknown): ProblemDetails | undefined {
  const { statusCode, message } = errorFields(error);
  return statusCode !== undefined && statusCode >= 400 && statusCode < 500
    ? plainProblem(statusCode, message)
    : undefined;
}

function errorFields(error: unknown): { code?: string; driverError?: unknown; statusCode?: number; message?: string } {
  return typeof error === 'object' && error !== null ? error : {};
}
