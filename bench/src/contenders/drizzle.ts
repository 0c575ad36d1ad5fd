import { asc, eq, inArray, lte, relations } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { boolean, doublePrecision, integer, pgTable, text, timestamp, varchar } from 'drizzle-orm/pg-core';
import pg from 'pg';
import type { BenchAddress, BenchContender } from './contender.js';
import { findInTurn } from './find-in-turn.js';

const account = pgTable('account', {
  id: integer().primaryKey().generatedByDefaultAsIdentity(),
  owner: text().notNull(),
  balance: integer().notNull(),
});

const transfer = pgTable('transfer', {
  id: integer().primaryKey().generatedByDefaultAsIdentity(),
  sourceId: integer('source_id').notNull(),
  targetId: integer('target_id').notNull(),
  amount: integer().notNull(),
});

const posting = pgTable('posting', {
  id: integer().primaryKey().generatedByDefaultAsIdentity(),
  transferId: integer('transfer_id').notNull(),
  accountId: integer('account_id').notNull(),
  amount: integer().notNull(),
});

const parent = pgTable('parent', {
  id: integer().primaryKey().generatedByDefaultAsIdentity(),
  name: text().notNull(),
});

const child = pgTable('child', {
  id: integer().primaryKey().generatedByDefaultAsIdentity(),
  parentId: integer('parent_id').notNull(),
  position: integer().notNull(),
  label: text().notNull(),
});

const measurement = pgTable('measurement', {
  id: integer().primaryKey(),
  station: text().notNull(),
  kind: text().notNull(),
  quantity: integer().notNull(),
  value: doublePrecision().notNull(),
  valid: boolean().notNull(),
  takenAt: timestamp('taken_at', { withTimezone: true }).notNull(),
  receivedAt: timestamp('received_at', { withTimezone: true }).notNull(),
  note: text(),
  code: varchar({ length: 20 }).notNull(),
});

const parentRelations = relations(parent, ({ many }: any) => ({ children: many(child) }));
const childRelations = relations(child, ({ one }: any) => ({
  parent: one(parent, { fields: [child.parentId], references: [parent.id] }),
}));

export async function open({ url, poolSize }: BenchAddress): Promise<BenchContender> {
  const pool = new pg.Pool({ connectionString: url, max: poolSize });
  const db = drizzle(pool, { schema: { parent, child, parentRelations, childRelations } });
  return {
    transfer: (source, target, amount) =>
      db.transaction(async (tx: any) => {
        const found = await tx
          .select()
          .from(account)
          .where(inArray(account.id, [source, target]))
          .orderBy(asc(account.id))
          .for('update');
        const from = found.find(({ id }: { id: number }) => id === source);
        const to = found.find(({ id }: { id: number }) => id === target);
        if (from === undefined || to === undefined) throw new Error('No such account');
        if (from.balance < amount) throw new Error('Insufficient funds');
        await tx
          .update(account)
          .set({ balance: from.balance - amount })
          .where(eq(account.id, source));
        await tx
          .update(account)
          .set({ balance: to.balance + amount })
          .where(eq(account.id, target));
        const [made] = await tx
          .insert(transfer)
          .values({ sourceId: source, targetId: target, amount })
          .returning({ id: transfer.id });
        await tx.insert(posting).values([
          { transferId: made.id, accountId: source, amount: -amount },
          { transferId: made.id, accountId: target, amount },
        ]);
      }),
    emptyTransaction: () => db.transaction(() => Promise.resolve()),
    joinedCalls: (count) =>
      db.transaction(async (tx: any) => {
        for (let i = 0; i < count; i++) await tx.transaction(() => Promise.resolve());
      }),
    insertFamilies: (parents, children) =>
      db.transaction(async (tx: any) => {
        const made: { id: number }[] = await tx
          .insert(parent)
          .values(Array.from({ length: parents }, (_, i) => ({ name: `parent ${i}` })))
          .returning({ id: parent.id });
        const rows = made.flatMap(({ id }) =>
          Array.from({ length: children }, (_, position) => ({ parentId: id, position, label: `child ${position}` })),
        );
        await tx.insert(child).values(rows).returning({ id: child.id });
      }),
    changeMeasurements: (count) =>
      db.transaction(async (tx: any) => {
        const rows: { id: number; quantity: number }[] = await tx
          .select()
          .from(measurement)
          .where(lte(measurement.id, count));
        for (const { id, quantity } of rows) {
          await tx
            .update(measurement)
            .set({ quantity: quantity + 1 })
            .where(eq(measurement.id, id));
        }
      }),
    loadMeasurements: (count) =>
      db.select().from(measurement).where(lte(measurement.id, count)).orderBy(asc(measurement.id)),
    loadFamilies: () => db.query.parent.findMany({ with: { children: true } }),
    findAccounts: (work) => work(findInTurn((id) => db.select().from(account).where(eq(account.id, id)))),
    close: () => pool.end(),
  };
}
