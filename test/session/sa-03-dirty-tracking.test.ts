import { Column, Entity, PrimaryColumn, PrimaryGeneratedColumn } from 'typeorm';
import type { DbSession } from '../../libs/uow/src/session/db-session.js';
import { Address, SA_ENTITIES, SA_TABLES, User } from './sa-entities.js';
import { SessionUnderTest } from './session-under-test.js';

@Entity('defaulted')
class Defaulted {
  @PrimaryGeneratedColumn('identity', { generatedIdentity: 'BY DEFAULT' })
  id!: number;

  @Column('int', { default: 15 })
  counter!: number;

  @Column('timestamptz', { default: () => 'now()' })
  madeAt!: Date;

  @Column('text', { nullable: true })
  note!: string | null;
}

@Entity('keyless_source')
class TextKeyed {
  @PrimaryColumn('text')
  code!: string;

  @Column('text', { nullable: true })
  note!: string | null;
}

let env: SessionUnderTest;
let session: DbSession;

beforeAll(async () => {
  env = await SessionUnderTest.start({ entities: [...SA_ENTITIES, Defaulted, TextKeyed] });
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  await env.database.query(`TRUNCATE ${SA_TABLES}, defaulted, keyless_source RESTART IDENTITY CASCADE`);
  session = env.factory.open();
  env.sent();
});
afterEach(async () => {
  await session.close();
});

const stored = async <T extends object>(...objects: T[]): Promise<void> => {
  session.addAll(objects);
  await session.commit();
  env.sent();
};

test('SA-070: setting a value to what it is already changes nothing and sends nothing', async () => {
  const user = User.named('ed');
  await stored(user);
  user.name = ['e', 'd'].join('');
  expect(session.isModified(user)).toBe(false);
  expect(session.dirty).toEqual([]);
  await session.flush();
  expect(env.sent()).toEqual([]);
});

test('SA-071: after the flush a changed object is clean', async () => {
  const user = User.named('ed');
  await stored(user);
  user.name = 'jack';
  expect(session.isModified(user)).toBe(true);
  expect(session.changesOf(user)).toEqual({ name: { from: 'ed', to: 'jack' } });
  await session.flush();
  expect(session.isModified(user)).toBe(false);
  expect(session.dirty).toEqual([]);
  env.sent();
  await session.flush();
  expect(env.sent()).toEqual([]);
});

test('SA-072: a change of a collection alone is a change of the object', async () => {
  const user = User.named('ed', Address.of('ed@x'));
  await stored(user);
  user.addresses.push(Address.of('ed@y'));
  expect(session.isModified(user)).toBe(true);
});

test('SA-073: looking for changes sends nothing', async () => {
  const user = User.named('ed');
  await stored(user);
  expect(session.isModified(user)).toBe(false);
  expect(env.sent()).toEqual([]);
});

test('SA-074: only changed columns are in the SET list', async () => {
  const address = Address.of('ed@x');
  await stored(address);
  address.email = 'ed@y';
  await session.flush();
  const [update] = env.statements();
  expect(update).toMatch(/SET "email" = \$1 WHERE/);
  expect(update).not.toMatch(/SET.*"user_id" = .*WHERE/);
});

test('SA-076: an SQL expression as a value is sent as SQL, and its result is on the object', async () => {
  const row = new Defaulted();
  await stored(row);
  (row as { counter: unknown }).counter = () => 'counter + 1';
  await session.flush();
  expect(row.counter).toBe(16);
  expect(env.statements()).toHaveLength(1);
  expect(await env.database.query('SELECT counter FROM defaulted')).toEqual([{ counter: 15 }]);
  await session.commit();
  expect(await env.database.query('SELECT counter FROM defaulted')).toEqual([{ counter: 16 }]);
});

test('SA-077: SQL expressions at insert, also for the key, are there after the flush', async () => {
  const row = new Defaulted();
  Object.assign(row, { id: () => '40 + 2', counter: () => '2 * 21' });
  session.add(row);
  await session.flush();
  expect(row).toMatchObject({ id: 42, counter: 42 });
  expect(env.statements()).toHaveLength(1);
  expect(await session.get(Defaulted, 42)).toBe(row);
});

test('SA-078: defaults of the database come back with the INSERT', async () => {
  const row = new Defaulted();
  session.add(row);
  await session.flush();
  expect(row.counter).toBe(15);
  expect(row.madeAt).toBeInstanceOf(Date);
  expect(row.note).toBeNull();
  expect(env.statements()).toHaveLength(1);
});

test('SA-079: a value that was given for a column with a default is kept', async () => {
  const row = Object.assign(new Defaulted(), { counter: 3 });
  session.add(row);
  await session.flush();
  expect(row.counter).toBe(3);
  expect(env.statements()[0]).not.toMatch(/RETURNING.*counter/);
});

test('SA-080: flushing the owner of a collection that is not loaded neither loads nor empties it', async () => {
  await stored(User.named('ed', Address.of('ed@x')));
  await session.close();
  const user = (await session.find(User))[0]!;
  env.sent();
  user.name = 'jack';
  await session.commit();
  expect(env.statements()).toHaveLength(1);
  expect(await env.database.query('SELECT count(*)::int AS n FROM addresses WHERE user_id IS NOT NULL')).toEqual([
    { n: 1 },
  ]);
});

test('SA-082: an insert that gets no key is refused with the reason', async () => {
  session.add(new TextKeyed());
  await expect(session.flush()).rejects.toMatchObject({ code: 'UOW_NOT_NULL_VIOLATION', column: 'code' });
});

test('SA-083: an UPDATE of a row that is gone is stale; a DELETE of one is a warning', async () => {
  const [ed, jack] = [User.named('ed'), User.named('jack')];
  await stored(ed, jack);
  await env.database.query('DELETE FROM users WHERE name = $1', ['ed']);
  ed.name = 'edward';
  await expect(session.flush()).rejects.toMatchObject({ code: 'UOW_STALE_DATA', entity: 'User', key: { id: 1 } });
  await session.rollback();
  session.deleteAll([ed, jack]);
  env.reports.length = 0;
  await session.commit();
  expect(env.reports.map(({ message }) => message)).toEqual([
    expect.stringMatching(/1 of 2 rows of User were gone already/),
  ]);
});

test('SA-088: what a beforeFlush listener adds, deletes and changes is part of that flush', async () => {
  const [ed, jack, wendy] = [User.named('ed'), User.named('jack'), User.named('wendy')];
  await stored(ed, jack);
  session.on('beforeFlush', () => {
    session.add(User.named('added'));
    session.delete(jack);
    ed.name = 'changed';
  });
  session.add(wendy);
  await session.commit();
  const rows = await env.database.query<{ name: string }>('SELECT name FROM users ORDER BY name');
  expect(rows.map(({ name }) => name)).toEqual(['added', 'changed', 'wendy']);
});

test('SA-089: a flush with nothing to do does not call beforeFlush', async () => {
  const calls: string[] = [];
  session.on('beforeFlush', () => {
    calls.push('beforeFlush');
  });
  await session.flush();
  expect(calls).toEqual([]);
});
