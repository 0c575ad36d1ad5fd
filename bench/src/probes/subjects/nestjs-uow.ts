import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { InjectRepository, TypeOrmModule } from '@nestjs/typeorm';
import { Transactional, UowModule } from 'nestjs-uow';
import { DataSource, Repository } from 'typeorm';
import type { ProbeDatabase, ProbeSubject } from '../subject.js';
import { Note } from './note.entity.js';

@Injectable()
class Scopes {
  constructor(@InjectRepository(Note) readonly notes: Repository<Note>) {}

  @Transactional()
  async required<T>(work: () => Promise<T>): Promise<T> {
    return await work();
  }

  @Transactional({ propagation: 'NESTED' })
  async nested<T>(work: () => Promise<T>): Promise<T> {
    return await work();
  }

  @Transactional({ propagation: 'REQUIRES_NEW' })
  async requiresNew<T>(work: () => Promise<T>): Promise<T> {
    return await work();
  }
}

export async function open({ url, poolSize }: ProbeDatabase): Promise<ProbeSubject<undefined>> {
  @Module({
    imports: [
      TypeOrmModule.forRoot({ type: 'postgres', url, poolSize, entities: [Note] }),
      TypeOrmModule.forFeature([Note]),
      UowModule.forRoot(),
    ],
    providers: [Scopes],
  })
  class ProbeModule {}

  const app = await NestFactory.createApplicationContext(ProbeModule, { logger: false });
  const scopes = app.get(Scopes);
  const dataSource = app.get(DataSource);
  return {
    transaction: (work) => scopes.required(() => work(undefined)),
    joined: (_, work) => scopes.required(() => work(undefined)),
    nested: (_, work) => scopes.nested(() => work(undefined)),
    requiresNew: (work) => scopes.requiresNew(() => work(undefined)),
    write: async (_, value) => {
      await scopes.notes.insert({ value });
    },
    sees: (_, value) => scopes.notes.existsBy({ value }),
    writeByPlainManager: async (value) => {
      await dataSource.manager.insert(Note, { value });
    },
    close: () => app.close(),
  };
}
