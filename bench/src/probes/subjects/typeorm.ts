import { DataSource, type EntityManager } from 'typeorm';
import type { ProbeDatabase, ProbeSubject } from '../subject.js';
import { Note } from './note.entity.js';

export async function open({ url, poolSize }: ProbeDatabase): Promise<ProbeSubject<EntityManager>> {
  const dataSource = new DataSource({ type: 'postgres', url, poolSize, entities: [Note] });
  await dataSource.initialize();
  return {
    transaction: (work) => dataSource.transaction(work),
    nested: (manager, work) => manager.transaction(work),
    requiresNew: (work) => dataSource.transaction(work),
    write: async (manager, value) => {
      await manager.insert(Note, { value });
    },
    sees: (manager, value) => manager.existsBy(Note, { value }),
    close: () => dataSource.destroy(),
  };
}
