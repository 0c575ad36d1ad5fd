import { Global, Inject, Logger, Module } from '@nestjs/common';
import type { NestModule, OnApplicationShutdown, OnModuleInit } from '@nestjs/common';
import { HttpAdapterHost, ModulesContainer } from '@nestjs/core';
import { reporting } from '../diagnostics/report.js';
import { TransactionManager } from '../transaction/transaction-manager.js';
import { classesOf } from './handlers.js';
import type { HttpAdapter } from './http-context.js';
import { checkListeners } from './transactional-event-listener.decorator.js';
import { TransactionInterceptor } from './transaction.interceptor.js';
import { UowApplication } from './uow-application.js';

/**
 * What an application has once, however many data sources it gives to `UowModule`: the transaction manager
 * and the HTTP context.
 */
@Global()
@Module({
  providers: [
    { provide: TransactionManager, useFactory: () => new TransactionManager() },
    {
      provide: UowApplication,
      inject: [TransactionManager],
      useFactory: (manager: TransactionManager) => {
        const logger = new Logger('UowModule');
        return new UowApplication(
          manager,
          reporting(({ code, message }) => {
            logger.warn(`${message} [${code}]`);
          }),
        );
      },
    },
    TransactionInterceptor,
  ],
  exports: [TransactionManager, UowApplication, TransactionInterceptor],
})
export class UowCoreModule implements NestModule, OnModuleInit, OnApplicationShutdown {
  readonly #application: UowApplication;
  readonly #host: HttpAdapterHost;
  readonly #modules: ModulesContainer;

  constructor(
    @Inject(UowApplication) application: UowApplication,
    @Inject(HttpAdapterHost) host: HttpAdapterHost,
    @Inject(ModulesContainer) modules: ModulesContainer,
  ) {
    this.#application = application;
    this.#host = host;
    this.#modules = modules;
    application.http.follow(host);
  }

  configure(): void {
    this.#application.http.install(this.#host.httpAdapter as HttpAdapter | undefined);
  }

  /** @throws IllegalTransactionStateError for a listener that could never join its transaction */
  onModuleInit(): void {
    for (const type of classesOf(this.#modules)) checkListeners(type);
    // Providers may have added themselves to a data source's subscribers.
    for (const source of this.#application.served) source.look();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.#application.shutdown();
  }
}
