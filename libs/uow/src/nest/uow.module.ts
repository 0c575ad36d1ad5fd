import { Inject, Module } from '@nestjs/common';
import type { DynamicModule, ModuleMetadata } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import { dataSourceToken, isDataSource } from '../typeorm/data-source-token.js';
import { serveDataSource } from './serve-data-source.js';
import { UowApplication } from './uow-application.js';
import { UowCoreModule } from './uow-core.module.js';
import { DEFAULT_NAME } from './uow-module-options.js';
import type { UowModuleAsyncOptions, UowModuleOptions, UowOptions } from './uow-module-options.js';
import { createProviders } from './uow.providers.js';

/**
 * Gives an application transactions and sessions over a TypeORM data source. Global: import it once per data
 * source, in the root module.
 *
 * @example
 * \@Module({
 *   imports: [
 *     TypeOrmModule.forRoot({ type: 'postgres', url: process.env.DATABASE_URL, autoLoadEntities: true }),
 *     UowModule.forRoot(),
 *   ],
 * })
 * export class AppModule {}
 */
@Module({})
export class UowModule {
  /**
   * @param options all have defaults; `dataSource` names or is the data source, `name` is what tokens and
   * `@Transactional({ dataSource })` call it
   * @throws DuplicateDataSourceError at start, when two calls of one application use the same name
   * @throws UnknownDataSourceError at start, when no data source is found
   */
  static forRoot(options: UowModuleOptions = {}): DynamicModule {
    const { dataSource, imports } = options;
    const name = options.name ?? (typeof dataSource === 'string' ? dataSource : DEFAULT_NAME);
    return assemble(name, imports, {
      inject: isDataSource(dataSource) ? [] : [{ token: dataSourceToken(dataSource ?? options.name), optional: true }],
      useFactory: (found?: unknown) => ({
        options,
        dataSource: isDataSource(dataSource) ? dataSource : found,
      }),
    });
  }

  /**
   * As `forRoot()`, with options that a factory makes.
   *
   * @param async `inject` names what `useFactory` gets; the name of the data source is known beforehand, since
   * tokens derive from it
   */
  static forRootAsync(async: UowModuleAsyncOptions): DynamicModule {
    const { name = DEFAULT_NAME, imports, inject = [], useFactory } = async;
    return assemble(name, imports, {
      inject: [ModuleRef, { token: dataSourceToken(name), optional: true }, ...inject],
      useFactory: async (moduleRef: ModuleRef, found: unknown, ...injected: unknown[]) => {
        const options = await useFactory(...injected);
        const { dataSource = found } = options;
        return {
          options,
          dataSource: typeof dataSource === 'string' ? await lookUp(moduleRef, dataSource) : dataSource,
        };
      },
    });
  }
}

interface Source {
  readonly options: UowOptions;
  readonly dataSource: unknown;
}

interface SourceFactory {
  readonly inject: NonNullable<Parameters<typeof createProviders>[1]['inject']>;
  readonly useFactory: (...args: never[]) => Source | Promise<Source>;
}

function assemble(
  name: string,
  imports: ModuleMetadata['imports'] = [],
  { inject, useFactory }: SourceFactory,
): DynamicModule {
  const providers = createProviders(name, {
    inject: [UowApplication, ...inject],
    useFactory: async (application: UowApplication, ...args: unknown[]) => {
      application.reserve(name);
      const { options, dataSource } = await (useFactory as (...args: unknown[]) => Promise<Source>)(...args);
      return serveDataSource(application, name, dataSource, options);
    },
  });
  return {
    module: UowModule,
    global: true,
    imports: [UowCoreModule, ...imports],
    providers,
    exports: providers.flatMap((provider) =>
      typeof provider === 'object' && !isEnhancer(provider.provide) ? [provider.provide] : [],
    ),
  };
}

/** Enhancers (`APP_INTERCEPTOR`) are registered, not exported. */
function isEnhancer(token: unknown): boolean {
  return typeof token === 'string' && token.startsWith('APP_');
}

/** Waits for a data source that only the options' factory could name. */
async function lookUp(moduleRef: ModuleRef, name: string): Promise<unknown> {
  const token = dataSourceToken(name);
  class Found {
    constructor(readonly dataSource: unknown) {}
  }
  Inject(token)(Found, undefined, 0);
  return (await moduleRef.create(Found)).dataSource;
}
