import { Inject, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { getDataSourceToken, TypeOrmModule } from '@nestjs/typeorm';
import { ClsPluginTransactional, Transactional, TransactionHost } from '@nestjs-cls/transactional';
import { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { ClsModule, ClsService } from 'nestjs-cls';
import { bankEntities } from '../bank/bank.entities.js';
import type { BenchAddress, BenchContender, HttpParts, TransferDesk } from './contender.js';
import { transferByTypeorm } from './typeorm-transfer.js';

@Injectable()
class Desk implements TransferDesk {
  constructor(@Inject(TransactionHost) readonly host: any) {}

  @Transactional()
  async transfer(source: number, target: number, amount: number): Promise<void> {
    await transferByTypeorm(this.host.tx, source, target, amount);
  }

  @Transactional()
  async nothing(): Promise<void> {}

  @Transactional()
  async joinedCalls(count: number): Promise<void> {
    for (let i = 0; i < count; i++) await this.nothing();
  }
}

export function httpParts({ url, poolSize }: BenchAddress): HttpParts {
  return {
    imports: [
      TypeOrmModule.forRoot({ type: 'postgres', url, poolSize, entities: bankEntities }),
      ClsModule.forRoot({
        global: true,
        middleware: { mount: true },
        plugins: [
          new ClsPluginTransactional({
            imports: [TypeOrmModule],
            adapter: new TransactionalAdapterTypeOrm({ dataSourceToken: getDataSourceToken() }),
          }),
        ],
      }),
    ],
    desk: Desk,
  };
}

export async function open(address: BenchAddress): Promise<BenchContender> {
  @Module({ imports: httpParts(address).imports, providers: [Desk] })
  class BankModule {}

  const app = await NestFactory.createApplicationContext(BankModule, { logger: false });
  const desk = app.get(Desk);
  const cls = app.get(ClsService);
  return {
    transfer: (source, target, amount) => cls.run(() => desk.transfer(source, target, amount)),
    emptyTransaction: () => cls.run(() => desk.nothing()),
    joinedCalls: (count) => cls.run(() => desk.joinedCalls(count)),
    close: () => app.close(),
  };
}
