import { type DynamicModule, Module } from '@nestjs/common';
import { APP_FILTER, APP_PIPE } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import { UowModule } from 'nestjs-uow';
import { AccountsModule } from './accounts/accounts.module.js';
import { CustomersModule } from './customers/customers.module.js';
import { type DatabaseConnection, dataSourceOptions } from './database/data-source-options.js';
import { HealthModule } from './health/health.module.js';
import { ConnectionDrain } from './http/connection-drain.js';
import { inputValidation } from './http/invalid-input.js';
import { ProblemDetailsFilter } from './http/problem-details.filter.js';
import { SeedModule } from './seed/seed.module.js';
import { StatementsModule } from './statements/statements.module.js';
import { TransfersModule } from './transfers/transfers.module.js';

/** What the bank needs to run. */
export interface BankingModuleOptions {
  /** A database with the bank's schema. */
  readonly database: DatabaseConnection;
  /** How many connections it may hold at most. */
  readonly poolSize: number;
}

/** The whole bank. */
@Module({})
export class BankingModule {
  static register({ database, poolSize }: BankingModuleOptions): DynamicModule {
    return {
      module: BankingModule,
      imports: [
        TypeOrmModule.forRoot({
          ...dataSourceOptions(database),
          applicationName: 'banking',
          poolSize,
          // Who starts the bank has just migrated the database: if it is gone now, say so at once.
          retryAttempts: 0,
        }),
        UowModule.forRoot(),
        CustomersModule,
        AccountsModule,
        TransfersModule,
        StatementsModule,
        HealthModule,
        SeedModule,
      ],
      providers: [
        ConnectionDrain,
        { provide: APP_PIPE, useFactory: inputValidation },
        { provide: APP_FILTER, useClass: ProblemDetailsFilter },
      ],
    };
  }
}
