import { Global, Inject, Logger, Module } from '@nestjs/common';
import type { NestModule, OnApplicationShutdown } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { reporting } from '../diagnostics/report.js';
import { TransactionManager } from '../transaction/transaction-manager.js';
import type { HttpAdapter } from './http-context.js';
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
  ],
  exports: [TransactionManager, UowApplication],
})
export class UowCoreModule implements NestModule, OnApplicationShutdown {
  readonly #application: UowApplication;
  readonly #host: HttpAdapterHost;

  constructor(@Inject(UowApplication) application: UowApplication, @Inject(HttpAdapterHost) host: HttpAdapterHost) {
    this.#application = application;
    this.#host = host;
    application.http.follow(host);
  }

  configure(): void {
    this.#application.http.install(this.#host.httpAdapter as HttpAdapter | undefined);
  }

  async onApplicationShutdown(): Promise<void> {
    await this.#application.shutdown();
  }
}
