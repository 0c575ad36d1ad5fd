import { DataSource, type Repository } from 'typeorm';
import {
  addTransactionalDataSource,
  initializeTransactionalContext,
  Propagation,
  StorageDriver,
  Transactional,
} from 'typeorm-transactional';
import type { ProbeDatabase, ProbeSubject } from '../subject.js';
import { Note } from './note.entity.js';

class Scopes {
  @Transactional()
  async required<T>(work: () => Promise<T>): Promise<T> {
    return await work();
  }

  @Transactional({ propagation: Propagation.NESTED })
  async nested<T>(work: () => Promise<T>): Promise<T> {
    return await work();
  }

  @Transactional({ propagation: Propagation.REQUIRES_NEW })
  async requiresNew<T>(work: () => Promise<T>): Promise<T> {
    return await work();
  }
}

export async function open({ url, poolSize }: ProbeDatabase): Promise<ProbeSubject<undefined>> {
  initializeTransactionalContext({ storageDriver: StorageDriver.ASYNC_LOCAL_STORAGE });
  const dataSource = new DataSource({ type: 'postgres', url, poolSize, entities: [Note] });
  await dataSource.initialize();
  addTransactionalDataSource(dataSource);
  const scopes = new Scopes();
  const notes: Repository<Note> = dataSource.getRepository(Note);
  return {
    transaction: (work) => scopes.required(() => work(undefined)),
    joined: (_, work) => scopes.required(() => work(undefined)),
    nested: (_, work) => scopes.nested(() => work(undefined)),
    requiresNew: (work) => scopes.requiresNew(() => work(undefined)),
    write: async (_, value) => {
      await notes.insert({ value });
    },
    sees: (_, value) => notes.existsBy({ value }),
    writeByPlainManager: async (value) => {
      await dataSource.manager.insert(Note, { value });
    },
    close: () => dataSource.destroy(),
  };
}
