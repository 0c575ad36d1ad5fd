import type { InjectionToken } from '@nestjs/common';
import { DbSession } from '../session/db-session.js';
import { DbSessionFactory } from '../session/db-session-factory.js';
import { DEFAULT_NAME } from './uow-module-options.js';

/**
 * Token of the injected session of a data source, for `useFactory` providers and `moduleRef.get()`.
 *
 * @param name the name given to `UowModule.forRoot()`; the default data source when left out
 * @returns the class `DbSession` for the default data source, a string for a named one
 */
export function getDbSessionToken(name: string = DEFAULT_NAME): InjectionToken<DbSession> {
  return name === DEFAULT_NAME ? DbSession : `${name}DbSession`;
}

/**
 * Token of the `DbSessionFactory` of a data source.
 *
 * @param name the name given to `UowModule.forRoot()`; the default data source when left out
 */
export function getDbSessionFactoryToken(name: string = DEFAULT_NAME): InjectionToken<DbSessionFactory> {
  return name === DEFAULT_NAME ? DbSessionFactory : `${name}DbSessionFactory`;
}

/**
 * Token of the request-scoped session of the default data source: the same session as `DbSession`, found by
 * Nest's `REQUEST` instead of the running context. Whoever injects it becomes request-scoped, with the
 * cost that Nest documents.
 *
 * @example
 * constructor(@Inject(REQUEST_DB_SESSION) private readonly session: DbSession) {}
 */
export const REQUEST_DB_SESSION: unique symbol = Symbol('nestjs-uow:request-session');

/** As `REQUEST_DB_SESSION`, for the data source of a given name. */
export function getRequestDbSessionToken(name: string = DEFAULT_NAME): InjectionToken<DbSession> {
  return name === DEFAULT_NAME ? REQUEST_DB_SESSION : `${name}RequestDbSession`;
}
