import { defineEntity, LockMode, p, RequestContext, TransactionPropagation } from '@mikro-orm/core';
import { MikroORM } from '@mikro-orm/postgresql';
import type { BenchAddress, BenchContender } from './contender.js';
import { findInTurn } from './find-in-turn.js';

const Account = defineEntity({
  name: 'Account',
  properties: { id: p.integer().primary().autoincrement(), owner: p.text(), balance: p.integer() },
});

const Transfer = defineEntity({
  name: 'Transfer',
  properties: {
    id: p.integer().primary().autoincrement(),
    source: () => p.manyToOne(Account),
    target: () => p.manyToOne(Account),
    amount: p.integer(),
    postings: () => p.oneToMany(Posting).mappedBy('transfer'),
  },
});

const Posting: any = defineEntity({
  name: 'Posting',
  properties: {
    id: p.integer().primary().autoincrement(),
    transfer: () => p.manyToOne(Transfer),
    account: () => p.manyToOne(Account),
    amount: p.integer(),
  },
});

const Parent = defineEntity({
  name: 'Parent',
  properties: {
    id: p.integer().primary().autoincrement(),
    name: p.text(),
    children: () => p.oneToMany(Child).mappedBy('parent'),
  },
});

const Child: any = defineEntity({
  name: 'Child',
  properties: {
    id: p.integer().primary().autoincrement(),
    parent: () => p.manyToOne(Parent),
    position: p.integer(),
    label: p.text(),
  },
});

const Measurement = defineEntity({
  name: 'Measurement',
  properties: {
    id: p.integer().primary(),
    station: p.text(),
    kind: p.text(),
    quantity: p.integer(),
    value: p.double(),
    valid: p.boolean(),
    takenAt: p.datetime(),
    receivedAt: p.datetime(),
    note: p.text().nullable(),
    code: p.string().length(20),
  },
});

export async function open({ url, poolSize }: BenchAddress): Promise<BenchContender> {
  const orm = await MikroORM.init({
    clientUrl: url,
    entities: [Account, Transfer, Posting, Parent, Child, Measurement],
    pool: { min: 0, max: poolSize },
  });
  const { em } = orm;
  const { REQUIRED } = TransactionPropagation;
  return {
    transfer: (source, target, amount) =>
      RequestContext.create(em, () =>
        em.transactional(async () => {
          const found = await em.find(
            Account,
            { id: { $in: [source, target] } },
            { lockMode: LockMode.PESSIMISTIC_WRITE, orderBy: { id: 'asc' } },
          );
          const from = found.find(({ id }: { id: number }) => id === source);
          const to = found.find(({ id }: { id: number }) => id === target);
          if (from === undefined || to === undefined) throw new Error('No such account');
          if (from.balance < amount) throw new Error('Insufficient funds');
          from.balance -= amount;
          to.balance += amount;
          const transfer = em.create(Transfer, { source: from, target: to, amount });
          em.create(Posting, { transfer, account: from, amount: -amount });
          em.create(Posting, { transfer, account: to, amount });
        }),
      ),
    emptyTransaction: () => RequestContext.create(em, () => em.transactional(() => Promise.resolve())),
    joinedCalls: (count) =>
      RequestContext.create(em, () =>
        em.transactional(async () => {
          for (let i = 0; i < count; i++) await em.transactional(() => Promise.resolve(), { propagation: REQUIRED });
        }),
      ),
    insertFamilies: (parents, children) =>
      RequestContext.create(em, () =>
        em.transactional(() => {
          for (let i = 0; i < parents; i++) {
            em.create(Parent, {
              name: `parent ${i}`,
              children: Array.from({ length: children }, (_, position) => ({ position, label: `child ${position}` })),
            });
          }
          return Promise.resolve();
        }),
      ),
    changeMeasurements: (count) =>
      RequestContext.create(em, () =>
        em.transactional(async () => {
          const rows = await em.find(Measurement, { id: { $lte: count } });
          for (const row of rows) row.quantity += 1;
        }),
      ),
    loadMeasurements: (count) => em.fork().find(Measurement, { id: { $lte: count } }, { orderBy: { id: 'asc' } }),
    loadMeasurementsReadOnly: (count) =>
      em.fork().find(Measurement, { id: { $lte: count } }, { orderBy: { id: 'asc' }, disableIdentityMap: true }),
    loadFamilies: () => em.fork().find(Parent, {}, { populate: ['children'] }),
    findAccounts: (work) => {
      const fork = em.fork();
      return work(findInTurn((id) => fork.findOne(Account, id)));
    },
    close: () => orm.close(true),
  };
}
