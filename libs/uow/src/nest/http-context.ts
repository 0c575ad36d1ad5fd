import type { HttpServer } from '@nestjs/common';
import type { HttpAdapterHost } from '@nestjs/core';
import type { Report } from '../diagnostics/report.js';
import { currentFrame } from '../transaction/ambient.js';
import type { TransactionManager } from '../transaction/transaction-manager.js';
import { guardReplies } from './reply-guard.js';
import type { EndingResponse } from './request-unit.js';
import type { RequestUnits } from './request-units.js';

/**
 * Opens the context of a request before guards run and closes it when the response has ended: as the first
 * middleware on Express, as an `onRequest` hook on Fastify. Installed once per application. A request that
 * touches nothing of this library costs one `AsyncLocalStorage.run`.
 */

interface RawRequest {
  readonly method?: string;
  readonly url?: string;
  readonly originalUrl?: string;
}

interface FastifyRequestLike {
  readonly raw: RawRequest;
}

interface FastifyReplyLike {
  readonly raw: EndingResponse;
}

type FastifyHook = (request: FastifyRequestLike, reply: FastifyReplyLike, done: () => void) => void;

interface FastifyLike {
  addHook(name: 'onRequest' | 'preValidation', hook: FastifyHook): unknown;
}

/** The part of Nest's HTTP adapters that is used here. */
export type HttpAdapter = Pick<HttpServer, 'use'> & {
  getType?(): string;
  getInstance(): unknown;
};

export class HttpContext {
  readonly #manager: TransactionManager;
  readonly #units: RequestUnits;
  readonly #report: Report;
  #installed = false;

  constructor(manager: TransactionManager, units: RequestUnits, report: Report) {
    this.#manager = manager;
    this.#units = units;
    this.#report = report;
  }

  /** Installs as soon as the application has an adapter: at once, or when a test creates its application. */
  follow(host: HttpAdapterHost): void {
    this.install(host.httpAdapter as HttpAdapter | undefined);
    if (this.#installed) return;
    // NestJS 11 may not have it; `configure()` of the module comes later, but comes.
    const { init$ } = host as Partial<Pick<HttpAdapterHost, 'init$'>>;
    init$?.subscribe(() => {
      this.install(host.httpAdapter as HttpAdapter | undefined);
    });
  }

  /**
   * Puts the context in front of everything that the adapter runs for a request. Does nothing the second time.
   *
   * @param adapter `undefined` where there is none (yet): an application context, a microservice, or an
   * application under test before `createNestApplication()`
   */
  install(adapter: HttpAdapter | undefined): void {
    // Without an HTTP server Nest hands out an adapter that can do nothing.
    if (this.#installed || typeof adapter?.use !== 'function') return;
    if (adapter.getType?.() === 'fastify') this.#installFastify(adapter.getInstance() as FastifyLike);
    else this.#installMiddleware(adapter);
    guardReplies(adapter, this.#units, this.#report);
    this.#installed = true;
  }

  #installMiddleware(adapter: HttpAdapter): void {
    adapter.use(((request: RawRequest, response: EndingResponse, next: () => void) => {
      this.#open(request, response, next);
    }) as never);
  }

  #installFastify(fastify: FastifyLike): void {
    fastify.addHook('onRequest', (request, reply, done) => {
      this.#open(request.raw, reply.raw, done);
    });
    // Reading the body ends in an event of the socket, outside the context.
    fastify.addHook('preValidation', (request, _reply, done) => {
      const unit = this.#units.find(request.raw);
      if (unit === undefined) done();
      else unit.run(done);
    });
  }

  #open(request: RawRequest, response: EndingResponse, next: () => void): void {
    const label = `${request.method ?? 'HTTP'} ${request.originalUrl ?? request.url ?? ''}`;
    this.#units.open(request, this.#manager, currentFrame() ?? null, label, response).run(next);
  }
}
