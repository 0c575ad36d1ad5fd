import { eq } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { pgTable, text } from 'drizzle-orm/pg-core';
import pg from 'pg';
import type { ProbeDatabase, ProbeSubject } from '../subject.js';

const note = pgTable('note', { value: text().primaryKey() });

export async function open({ url, poolSize }: ProbeDatabase): Promise<ProbeSubject> {
  const pool = new pg.Pool({ connectionString: url, max: poolSize });
  pool.on('error', () => undefined);
  const db = drizzle(pool);
  return {
    transaction: (work) => db.transaction(work),
    nested: (tx, work) => tx.transaction(work),
    requiresNew: (work) => db.transaction(work),
    write: async (tx, value) => {
      await tx.insert(note).values({ value });
    },
    sees: async (tx, value) => (await tx.select().from(note).where(eq(note.value, value))).length === 1,
    close: () => pool.end(),
  };
}
