import type { FactoryProvider } from '@nestjs/common';
import { APP_INTERCEPTOR, ModulesContainer } from '@nestjs/core';
import { needInterceptor } from './handlers.js';
import { TransactionInterceptor } from './transaction.interceptor.js';
import { UowApplication } from './uow-application.js';
import type { ServedDataSource } from './uow-application.js';

/** How the served data source is made; its own providers are made from it. */
export type ServedFactory = Omit<FactoryProvider<ServedDataSource>, 'provide'>;

/** The providers of one data source. */
export function createProviders(name: string, served: ServedFactory): FactoryProvider[] {
  const source = `UowDataSource:${name}`;
  return [
    { ...served, provide: source },
    {
      provide: APP_INTERCEPTOR,
      inject: [UowApplication, ModulesContainer, source],
      // Nest passes over a global interceptor that is not there.
      useFactory: (
        application: UowApplication,
        modules: ModulesContainer,
        { options }: ServedDataSource,
      ) =>
        options.transactionPerRequest !== null || needInterceptor(modules)
          ? application.interceptorOnce(() => new TransactionInterceptor(application))
          : undefined,
    },
  ];
}
