import { Inject } from '@nestjs/common';
import { getDbSessionFactoryToken, getDbSessionToken } from './tokens.js';

/**
 * Injects the session of a named data source. `DbSession` as a constructor parameter's type is enough for the
 * default one, where the compiler emits decorator metadata.
 *
 * @param name the name given to `UowModule.forRoot()`; the default data source when left out
 *
 * @example
 * constructor(@InjectDbSession('reports') private readonly reports: DbSession) {}
 */
export function InjectDbSession(name?: string): PropertyDecorator & ParameterDecorator {
  return Inject(getDbSessionToken(name));
}

/**
 * Injects the `DbSessionFactory` of a data source, for sessions of one's own.
 *
 * @param name the name given to `UowModule.forRoot()`; the default data source when left out
 */
export function InjectDbSessionFactory(name?: string): PropertyDecorator & ParameterDecorator {
  return Inject(getDbSessionFactoryToken(name));
}
