import type { InjectionToken, ModuleMetadata, OptionalFactoryDependency } from '@nestjs/common';
import type { DataSource, EntitySchema } from 'typeorm';
import { DEFAULT_DATABASE_OPTIONS } from '../database/database-options.js';
import type { DatabaseOptions } from '../database/database-options.js';
import type { TransactionOptions } from '../transaction/transaction-definition.js';

/** The name of the data source that is meant where no name is given. */
export const DEFAULT_NAME = 'default';

/** What holds for one entity, whatever the module's own options say. */
export interface EntityOptions {
  /** The entity class or `EntitySchema`. */
  readonly target: DataSource['entityMetadatas'][number]['target'] | EntitySchema;
  /** Whether updates of unversioned, unlocked rows check the old values. */
  readonly staleCheck?: 'on' | 'off';
  /** Whether a deleted row that is gone already is reported. */
  readonly confirmRows?: boolean;
}

/** What `UowModule.forRoot()` takes, and the factory of `forRootAsync()` gives. Everything has a default. */
export interface UowOptions extends Partial<Omit<DatabaseOptions, 'isolation'>> {
  /** The data source: the name under which `@nestjs/typeorm` (or anything that uses its tokens) provides it, or the object. Default: the default one. */
  readonly dataSource?: string | DataSource;
  /** Default options of root scopes; a scope's own win. */
  readonly transaction?: Omit<TransactionOptions, 'propagation' | 'dataSource' | 'label'>;
  /** Each handler's call is a transaction (REQUIRED). Default false. */
  readonly transactionPerRequest?: boolean | TransactionOptions;
  /** A client that goes away cancels the transactions of its request. Default false. */
  readonly abortOnDisconnect?: boolean;
  /** What holds for single entities. */
  readonly entities?: readonly EntityOptions[];
}

/** Options of `UowModule.forRoot()`. */
export interface UowModuleOptions extends UowOptions {
  /** The name that tokens derive from; default the data source's where it is given by name, else `default`. */
  readonly name?: string;
  /** Modules that provide the data source, where they are not global. */
  readonly imports?: ModuleMetadata['imports'];
}

/** Options of `UowModule.forRootAsync()`. */
export interface UowModuleAsyncOptions {
  /** The name that tokens derive from; default `default`. */
  readonly name?: string;
  /** Modules that provide what is injected into the factory, or the data source. */
  readonly imports?: ModuleMetadata['imports'];
  /** What the factory gets. */
  readonly inject?: readonly (InjectionToken | OptionalFactoryDependency)[];
  /** Gives the options; without a `dataSource` among them, the one of the module's name is looked up. */
  readonly useFactory: (
    // eslint-disable-next-line @typescript-eslint/no-explicit-any -- whatever `inject` names, as in Nest's own factories
    ...args: any[]
  ) => UowOptions | Promise<UowOptions>;
}

/** The options of a data source with every default filled in. */
export interface ResolvedUowOptions {
  readonly database: DatabaseOptions;
  readonly transaction: TransactionOptions;
  /** `null` where handlers have no transaction of their own. */
  readonly transactionPerRequest: TransactionOptions | null;
  readonly abortOnDisconnect: boolean;
  readonly entities: readonly EntityOptions[];
}

/**
 * Fills in the defaults.
 *
 * @param dataSource whose own isolation level holds where a transaction names none
 */
export function resolveOptions(options: UowOptions, dataSource: DataSource): ResolvedUowOptions {
  const database: Record<string, unknown> = { ...DEFAULT_DATABASE_OPTIONS };
  for (const key of Object.keys(DEFAULT_DATABASE_OPTIONS)) {
    const given = (options as Record<string, unknown>)[key];
    if (given !== undefined) database[key] = given;
  }
  database['isolation'] = (dataSource.options as { isolationLevel?: string }).isolationLevel;
  const { transactionPerRequest = false } = options;
  return {
    database: database as unknown as DatabaseOptions,
    transaction: options.transaction ?? {},
    transactionPerRequest:
      transactionPerRequest === false ? null : transactionPerRequest === true ? {} : transactionPerRequest,
    abortOnDisconnect: options.abortOnDisconnect ?? false,
    entities: options.entities ?? [],
  };
}
