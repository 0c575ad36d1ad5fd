import { defineEntity, p, RequestContext, TransactionPropagation } from '@mikro-orm/core';
import { MikroORM } from '@mikro-orm/postgresql';
import type { ProbeDatabase, ProbeSubject } from '../subject.js';

const Note = defineEntity({ name: 'Note', tableName: 'note', properties: { value: p.text().primary() } });

export async function open({ url, poolSize }: ProbeDatabase): Promise<ProbeSubject<undefined>> {
  const orm = await MikroORM.init({ clientUrl: url, entities: [Note], pool: { min: 0, max: poolSize } });
  const { em } = orm;
  const { NESTED, REQUIRED, REQUIRES_NEW } = TransactionPropagation;
  return {
    transaction: (work) =>
      RequestContext.create(em, () => em.transactional(() => work(undefined), { propagation: REQUIRED })),
    joined: (_, work) => em.transactional(() => work(undefined), { propagation: REQUIRED }),
    nested: (_, work) => em.transactional(() => work(undefined), { propagation: NESTED }),
    requiresNew: (work) => em.transactional(() => work(undefined), { propagation: REQUIRES_NEW }),
    write: async (_, value) => {
      await em.insert(Note, { value });
    },
    sees: async (_, value) => (await em.count(Note, { value })) === 1,
    writeByPlainManager: async (value) => {
      const fork = em.fork();
      await fork.transactional(
        async () => {
          await fork.insert(Note, { value });
        },
        { propagation: REQUIRED },
      );
    },
    close: () => orm.close(true),
  };
}
