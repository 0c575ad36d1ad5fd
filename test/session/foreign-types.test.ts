import { Column, Entity, In, JoinColumn, ManyToOne, OneToMany, PrimaryColumn, VersionColumn } from 'typeorm';
import type { DbSession } from '../../libs/uow/src/session/db-session.js';
import { SessionUnderTest } from './session-under-test.js';

/**
 * Tables that were not made from the entities: their columns have other types than the mapping says, as they do behind
 * migrations written by hand. Statements name the mapping's types, and the server is to get along with that.
 */

@Entity('foreign_parents')
class Parent {
  @PrimaryColumn('varchar')
  id!: string;

  @Column('varchar')
  text!: string;

  @Column('varchar')
  uuid!: string;

  @Column('varchar')
  mood!: string;

  @Column('varchar')
  email!: string;

  @Column('varchar')
  insensitive!: string;

  @Column('int')
  big!: number;

  @Column('int')
  exact!: number;

  @Column('int')
  positive!: number;

  @Column('timestamp')
  moment!: Date;

  @Column('timestamptz')
  local!: Date;

  @Column('text')
  inet!: string;

  @Column('json')
  doc!: unknown;

  @Column('varchar', { array: true })
  tags!: string[];

  @Column('float')
  ratio!: number;

  @OneToMany(() => Child, (child) => child.parent)
  children!: Child[];
}

@Entity('foreign_children')
class Child {
  @PrimaryColumn('int')
  id!: number;

  @VersionColumn()
  version!: number;

  @Column('varchar', { name: 'parent_id' })
  parentId!: string;

  @ManyToOne(() => Parent, (parent) => parent.children)
  @JoinColumn({ name: 'parent_id' })
  parent!: Parent;
}

const SCHEMA = `
  CREATE EXTENSION IF NOT EXISTS citext;
  CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
  CREATE DOMAIN email AS text CHECK (value LIKE '%@%');
  CREATE DOMAIN positive AS integer CHECK (value > 0);
  CREATE TABLE foreign_parents (
    id uuid PRIMARY KEY, text text, uuid uuid, mood mood, email email, insensitive citext, big bigint, exact numeric(12, 2),
    positive positive, moment timestamptz, local timestamp, inet inet, doc jsonb, tags text[], ratio real);
  CREATE TABLE foreign_children (
    id bigint PRIMARY KEY, version bigint NOT NULL, parent_id uuid REFERENCES foreign_parents);`;

const key = (n: number): string => `00000000-0000-4000-8000-00000000000${n}`;
const values = (n: number): Partial<Parent> => ({
  text: `text ${n}`,
  uuid: key(n),
  mood: ['sad', 'ok', 'happy'][n % 3]!,
  email: `${n}@x`,
  insensitive: `Bob ${n}`,
  big: n,
  exact: n,
  positive: n,
  moment: new Date(`2024-01-0${n}T00:00:00Z`),
  local: new Date(`2024-01-0${n}T00:00:00Z`),
  inet: `10.0.0.${n}`,
  doc: { n },
  tags: [`t${n}`],
  ratio: n / 10,
});

let env: SessionUnderTest;
let session: DbSession;

beforeAll(async () => {
  env = await SessionUnderTest.start({ entities: [Parent, Child], schema: SCHEMA, dataSource: { synchronize: false } });
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  await env.database.query('TRUNCATE foreign_parents, foreign_children');
  session = env.factory.open();
});
afterEach(async () => {
  await session.close();
});

const parent = (n: number): Parent => Object.assign(new Parent(), values(n), { id: key(n) });

describe.each([{ rows: 1 }, { rows: 3 }])('$rows at a time', ({ rows }) => {
  const numbers = Array.from({ length: rows }, (_, at) => at + 1);

  test('rows are inserted, read, changed with their checks, and deleted', async () => {
    session.addAll(numbers.map((n) => parent(n)));
    await session.commit();
    const read = await session.getManyOrFail(Parent, numbers.map(key));
    for (const [at, one] of read.entries()) Object.assign(one, values(at + 5));
    await session.commit();
    session.expungeAll();
    const again = await session.find(Parent, { order: { id: 'ASC' } });
    expect(again.map(({ text, mood, email }) => [text, mood, email])).toEqual(
      numbers.map((n) => [`text ${n + 4}`, values(n + 4).mood, `${n + 4}@x`]),
    );
    session.deleteAll(again);
    await session.commit();
    expect(await session.count(Parent)).toBe(0);
  });

  test('each column is stale when somebody else has changed it', async () => {
    for (const column of Object.keys(values(1)) as (keyof Parent)[]) {
      await env.database.query('TRUNCATE foreign_parents, foreign_children');
      await env.factory.begin((other) => {
        other.addAll(numbers.map((n) => parent(n)));
      });
      const own = env.factory.open();
      const read = await own.find(Parent, { order: { id: 'ASC' } });
      for (const one of read) Object.assign(one, { [column]: values(9)[column] });
      await env.factory.begin(async (other) => {
        for (const one of await other.find(Parent)) Object.assign(one, { [column]: values(8)[column] });
      });
      await expect(own.commit()).rejects.toMatchObject({ code: 'UOW_STALE_DATA' });
      await own.close();
    }
  });

  test('children find their parents, and parents their children', async () => {
    const parents = numbers.map((n) => parent(n));
    session.addAll(parents);
    session.addAll(numbers.map((n) => Object.assign(new Child(), { id: n, parent: parents[n - 1]! })));
    await session.commit();
    session.expungeAll();
    const read = await session.find(Parent, { order: { id: 'ASC' }, relations: { children: true } });
    expect(read.map(({ children }) => children.map(({ id }) => Number(id)))).toEqual(numbers.map((n) => [n]));
    session.expungeAll();
    const children = await session.find(Child, { order: { id: 'ASC' }, relations: { parent: true } });
    expect(children.map((child) => child.parent.id)).toEqual(numbers.map(key));
    for (const child of children) child.parent = children[0]!.parent;
    await session.commit();
    session.deleteAll(children);
    await session.commit();
  });

  test('rows are written in bulk', async () => {
    const given = numbers.map((n) => ({ ...values(n), id: key(n) })) as never[];
    const inserted = await session.bulkInsert(Parent, given, { returning: true });
    expect(inserted.map(({ id }) => id)).toEqual(numbers.map(key));
    await session.bulkInsert(Parent, given, { onConflict: { on: ['id'] }, returning: true });
    expect(await session.bulkUpdate(Parent, { id: In(numbers.map(key)) }, { mood: 'happy', text: 'new' })).toBe(rows);
    expect(await session.bulkDelete(Parent, { text: 'new' })).toBe(rows);
  });
});

test('what a domain refuses is an error of that row', async () => {
  session.add(Object.assign(parent(1), { email: 'nowhere' }));
  await expect(session.flush()).rejects.toMatchObject({ code: 'UOW_CHECK_VIOLATION' });
});
