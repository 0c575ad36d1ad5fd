import { Scope } from '@nestjs/common';
import type { FactoryProvider } from '@nestjs/common';
import { APP_INTERCEPTOR, ModulesContainer, REQUEST } from '@nestjs/core';
import type { DbSession } from '../session/db-session.js';
import { needInterceptor } from './handlers.js';
import { runningUnit } from './running-unit.js';
import { getDbSessionFactoryToken, getDbSessionToken, getRequestDbSessionToken } from './tokens.js';
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
      provide: getDbSessionToken(name),
      inject: [source],
      useFactory: ({ sessions }: ServedDataSource) => sessions.injected,
    },
    {
      provide: getDbSessionFactoryToken(name),
      inject: [source],
      useFactory: ({ sessions }: ServedDataSource) => sessions.factory,
    },
    {
      provide: getRequestDbSessionToken(name),
      scope: Scope.REQUEST,
      inject: [UowApplication, source, REQUEST],
      useFactory: requestSession,
    },
    {
      provide: APP_INTERCEPTOR,
      inject: [UowApplication, ModulesContainer, TransactionInterceptor, source],
      // Nest passes over a global interceptor that is not there.
      useFactory: (
        application: UowApplication,
        modules: ModulesContainer,
        interceptor: TransactionInterceptor,
        { options }: ServedDataSource,
      ) =>
        options.transactionPerRequest !== null || needInterceptor(modules)
          ? application.interceptOnce(interceptor)
          : undefined,
    },
  ];
}

/** The session of the request that Nest makes the object for; of the running code where it knows none. */
function requestSession(
  { manager, units }: UowApplication,
  { sessions, database }: ServedDataSource,
  request: unknown,
): DbSession {
  const unit = units.find(request) ?? runningUnit(manager) ?? units.prepare(request, manager);
  const context = unit?.contextOf(database) ?? null;
  return context === null ? sessions.injected : sessions.of(context);
}
