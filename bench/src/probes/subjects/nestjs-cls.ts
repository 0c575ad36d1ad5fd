import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { getDataSourceToken, TypeOrmModule } from '@nestjs/typeorm';
import { Propagation, Transactional, TransactionHost, ClsPluginTransactional } from '@nestjs-cls/transactional';
import { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { ClsModule, ClsService } from 'nestjs-cls';
import { DataSource } from 'typeorm';
import type { ProbeDatabase, ProbeSubject } from '../subject.js';
import { Note } from './note.entity.js';

@Injectable()
class Scopes {
  @Transactional()
  async required<T>(work: () => Promise<T>): Promise<T> {
    return await work();
  }

  @Transactional(Propagation.Nested)
  async nested<T>(work: () => Promise<T>): Promise<T> {
    return await work();
  }

  @Transactional(Propagation.RequiresNew)
  async requiresNew<T>(work: () => Promise<T>): Promise<T> {
    return await work();
  }
}

export async function open({ url, poolSize }: ProbeDatabase): Promise<ProbeSubject<undefined>> {
  @Module({
    imports: [
      TypeOrmModule.forRoot({ type: 'postgres', url, poolSize, entities: [Note] }),
      ClsModule.forRoot({
        global: true,
        plugins: [
          new ClsPluginTransactional({
            imports: [TypeOrmModule],
            adapter: new TransactionalAdapterTypeOrm({ dataSourceToken: getDataSourceToken() }),
          }),
        ],
      }),
    ],
    providers: [Scopes],
  })
  class ProbeModule {}

  const app = await NestFactory.createApplicationContext(ProbeModule, { logger: false });
  const scopes = app.get(Scopes);
  const cls = app.get(ClsService);
  const host = app.get(TransactionHost);
  const dataSource = app.get(DataSource);
  return {
    transaction: (work) => cls.run(() => scopes.required(() => work(undefined))),
    joined: (_, work) => scopes.required(() => work(undefined)),
    nested: (_, work) => scopes.nested(() => work(undefined)),
    requiresNew: (work) => scopes.requiresNew(() => work(undefined)),
    write: async (_, value) => {
      await host.tx.getRepository(Note).insert({ value });
    },
    sees: (_, value) => host.tx.getRepository(Note).existsBy({ value }),
    writeByPlainManager: async (value) => {
      await dataSource.manager.insert(Note, { value });
    },
    close: () => app.close(),
  };
}
