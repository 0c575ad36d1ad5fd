import {
  Column,
  CreateDateColumn,
  DefaultNamingStrategy,
  DeleteDateColumn,
  Entity,
  Generated,
  Index,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  UpdateDateColumn,
  VersionColumn,
  VirtualColumn,
} from 'typeorm';
import { SessionUnderTest } from './session-under-test.js';

/** What columns mean to a session is what they mean in a repository: a test for each feature. */

class SnakeNames extends DefaultNamingStrategy {
  override tableName(target: string, given: string | undefined): string {
    return given ?? snake(target);
  }

  override columnName(property: string, given: string | undefined, prefixes: string[]): string {
    return snake([...prefixes, given ?? property].join('_'));
  }
}

const snake = (name: string): string => name.replace(/(?<=[a-z])[A-Z]/g, (letter) => `_${letter}`).toLowerCase();

@Entity({ schema: 'paper trail' })
class TrackedThing {
  @PrimaryGeneratedColumn('uuid')
  id!: string;

  @Column('text')
  displayName!: string;

  @CreateDateColumn()
  createdAt!: Date;

  @UpdateDateColumn({ type: 'timestamptz', precision: 3 })
  updatedAt!: Date;

  @DeleteDateColumn()
  deletedAt!: Date | null;

  @VersionColumn()
  version!: number;
}

@Entity()
class DatabaseMade {
  @PrimaryGeneratedColumn('identity', { generatedIdentity: 'ALWAYS' })
  id!: number;

  @Column('int')
  width!: number;

  @Column('int', { default: 7 })
  height!: number;

  @Column({ type: 'int', generatedType: 'STORED', asExpression: 'width * height' })
  area!: number;

  @Column({ type: 'timestamptz', default: () => 'now()' })
  madeAt!: Date;

  @Column({ type: 'text', default: () => `upper('row')` })
  title!: string;

  @Column({ type: 'uuid' })
  @Generated('uuid')
  token!: string;

  @Column({ type: 'int' })
  @Generated('increment')
  number!: number;

  @VirtualColumn({ query: (alias) => `SELECT ${alias}.width + ${alias}.height` })
  sum!: number;
}

@Entity()
@Index(['code'], { unique: true })
class Guarded {
  @PrimaryColumn('int')
  id!: number;

  @Column({ type: 'text', update: false })
  code!: string;

  @Column({ type: 'text', insert: false, nullable: true })
  remark!: string | null;

  @Column('text', { select: false, nullable: true })
  secret!: string | null;

  @Column('numeric', { precision: 12, scale: 3, nullable: true })
  amount!: string | null;

  @Column('simple-json', { nullable: true })
  settings!: { colour: string } | null;

  @Column('simple-enum', { enum: ['on', 'off'], default: 'on' })
  power!: 'on' | 'off';

  @Column('int', { array: true, nullable: true })
  numbers!: number[] | null;

  @Column('boolean', { default: false })
  flag!: boolean;
}

let env: SessionUnderTest;

beforeAll(async () => {
  env = await SessionUnderTest.start({
    entities: [TrackedThing, DatabaseMade, Guarded],
    schema: 'CREATE SCHEMA "paper trail"',
    dataSource: { namingStrategy: new SnakeNames(), synchronize: true },
  });
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  await env.database.query(`TRUNCATE "paper trail".tracked_thing, database_made, guarded RESTART IDENTITY`);
  env.sent();
});

const make = <T extends object>(target: new () => T, values: Partial<T>): T => Object.assign(new target(), values);

test('a naming strategy and a schema name the table and its columns', async () => {
  await using session = env.factory.open();
  const thing = make(TrackedThing, { displayName: 'lamp' });
  session.add(thing);
  await session.flush();
  expect(env.statements().join()).toContain('INSERT INTO "paper trail"."tracked_thing" ("display_name"');
  thing.displayName = 'light';
  await session.commit();
  expect(await env.database.query('SELECT display_name FROM "paper trail".tracked_thing')).toEqual([
    { display_name: 'light' },
  ]);
  expect(await session.find(TrackedThing, { where: { displayName: 'light' } })).toEqual([thing]);
});

test('create and update dates are the database’s, and on the object after the flush', async () => {
  await using session = env.factory.open();
  const thing = make(TrackedThing, { displayName: 'lamp' });
  session.add(thing);
  await session.commit();
  const { createdAt, updatedAt } = thing;
  expect(createdAt).toBeInstanceOf(Date);
  expect(updatedAt).toBeInstanceOf(Date);
  await env.database.query(
    `UPDATE "paper trail".tracked_thing SET updated_at = '2001-01-01', created_at = '2001-01-01'`,
  );
  await session.refresh(thing);
  thing.displayName = 'light';
  await session.commit();
  expect(thing.updatedAt.getFullYear()).toBeGreaterThan(2001);
  expect(thing.createdAt.getFullYear()).toBe(2001);
  expect([thing.version]).toEqual([2]);
});

test('a date and a version that the program sets are written as they are', async () => {
  await using session = env.factory.open();
  const at = new Date('2020-02-02T02:02:02.222Z');
  const thing = make(TrackedThing, { displayName: 'lamp', createdAt: at, updatedAt: at, version: 5 });
  session.add(thing);
  await session.commit();
  expect([thing.createdAt, thing.updatedAt, thing.version]).toEqual([at, at, 5]);
  const later = new Date('2021-02-02T02:02:02.222Z');
  thing.updatedAt = later;
  await session.commit();
  const [row] = await env.database.query('SELECT updated_at, version FROM "paper trail".tracked_thing');
  expect(row).toEqual({ updated_at: later, version: 6 });
});

test('a delete date hides the row from reads that do not ask for it', async () => {
  await using session = env.factory.open();
  const thing = make(TrackedThing, { displayName: 'lamp' });
  session.add(thing);
  await session.commit();
  thing.deletedAt = new Date();
  await session.commit();
  expect(await session.find(TrackedThing)).toEqual([]);
  expect(await session.count(TrackedThing)).toBe(0);
  expect(await session.get(TrackedThing, thing.id)).toBeNull();
  expect(await session.get(TrackedThing, thing.id, { withDeleted: true })).toBe(thing);
  expect(await session.find(TrackedThing, { withDeleted: true })).toEqual([thing]);
});

test('what the database makes comes back: identity, defaults, computed columns, uuids, sequences', async () => {
  await using session = env.factory.open();
  const things = [1, 2, 3].map((width) => make(DatabaseMade, { width }));
  const alone = make(DatabaseMade, { width: 4, height: 5 });
  session.addAll(things);
  await session.flush();
  session.add(alone);
  await session.flush();
  expect([...things, alone].map(({ id, height, area, title, number }) => [id, height, area, title, number])).toEqual([
    [1, 7, 7, 'ROW', 1],
    [2, 7, 14, 'ROW', 2],
    [3, 7, 21, 'ROW', 3],
    [4, 5, 20, 'ROW', 4],
  ]);
  for (const { token, madeAt } of things) {
    expect(token).toMatch(/^[0-9a-f-]{36}$/);
    expect(madeAt).toBeInstanceOf(Date);
  }
  await session.commit();
});

test('a computed column follows its columns', async () => {
  await using session = env.factory.open();
  const [one, two] = [make(DatabaseMade, { width: 2 }), make(DatabaseMade, { width: 3 })];
  session.addAll([one, two]);
  await session.commit();
  one.width = 10;
  two.width = 20;
  await session.commit();
  await session.refresh(one);
  expect([one.area, (await session.getOrFail(DatabaseMade, two.id)).area]).toEqual([70, 140]);
});

test('SQL in place of a value is sent as SQL, and its value read back', async () => {
  await using session = env.factory.open();
  const things = [1, 2].map((width) => make(DatabaseMade, { width, height: (() => '40 + 2') as never }));
  session.addAll(things);
  await session.flush();
  expect(things.map(({ height, area }) => [height, area])).toEqual([
    [42, 42],
    [42, 84],
  ]);
  for (const thing of things) Object.assign(thing, { height: () => 'height + 1' });
  await session.flush();
  expect(things.map(({ height }) => height)).toEqual([43, 43]);
  expect(session.dirty).toEqual([]);
  await session.commit();
});

test('a virtual column is read, and never written', async () => {
  await using session = env.factory.open();
  session.add(make(DatabaseMade, { width: 2, sum: 99 }));
  await session.commit();
  await session.close();
  const [found] = await session.find(DatabaseMade);
  expect(found!.sum).toBe(9);
  found!.sum = 5;
  expect(session.dirty).toEqual([]);
});

test('insert: false and update: false leave a column out', async () => {
  await using session = env.factory.open();
  const guarded = make(Guarded, { id: 1, code: 'a', remark: 'not now' });
  session.add(guarded);
  await session.commit();
  expect(await env.database.query('SELECT code, remark FROM guarded')).toEqual([{ code: 'a', remark: null }]);
  guarded.code = 'b';
  expect(session.dirty).toEqual([]);
  guarded.remark = 'now';
  await session.commit();
  expect(await env.database.query('SELECT code, remark FROM guarded')).toEqual([{ code: 'a', remark: 'now' }]);
});

test('a column that is not selected is not overwritten, and written when it is set', async () => {
  await env.database.query(`INSERT INTO guarded (id, code, secret) VALUES (1, 'a', 'hush')`);
  await using session = env.factory.open();
  const guarded = await session.getOrFail(Guarded, 1);
  expect(guarded.secret).toBeUndefined();
  guarded.amount = '1.5';
  await session.commit();
  expect(await env.database.query('SELECT amount, secret FROM guarded')).toEqual([{ amount: '1.500', secret: 'hush' }]);
  guarded.secret = 'new';
  await session.commit();
  expect(await env.database.query('SELECT secret FROM guarded')).toEqual([{ secret: 'new' }]);
});

test('a partially selected object never overwrites what was not loaded', async () => {
  await env.database.query(`INSERT INTO guarded (id, code, amount, flag) VALUES (1, 'a', 3, true)`);
  await using session = env.factory.open();
  const guarded = await session.findOneOrFail(Guarded, { where: { id: 1 }, select: { id: true, code: true } });
  expect([guarded.code, guarded.amount, guarded.flag]).toEqual(['a', undefined, undefined]);
  guarded.power = 'off';
  await session.commit();
  expect(await env.database.query('SELECT amount, flag, power FROM guarded')).toEqual([
    { amount: '3.000', flag: true, power: 'off' },
  ]);
});

test('simple-json, simple-enum, arrays, booleans and numerics make the round trip of a repository', async () => {
  await using session = env.factory.open();
  const values = { settings: { colour: 'red' }, power: 'off', numbers: [1, 2], flag: true, amount: '10.250' } as const;
  session.addAll([
    make(Guarded, { id: 1, code: 'a', ...values, numbers: [1, 2] }),
    make(Guarded, { id: 2, code: 'b', ...values, numbers: [1, 2] }),
  ]);
  await session.commit();
  await session.close();
  const found = await session.find(Guarded, { order: { id: 'ASC' } });
  const theirs = await env.dataSource.getRepository(Guarded).find({ order: { id: 'ASC' } });
  expect(found).toEqual(theirs);
  found[0]!.settings!.colour = 'blue';
  found[0]!.numbers!.push(3);
  expect(session.dirty).toEqual([found[0]]);
  await session.commit();
  expect(await env.database.query('SELECT settings, numbers FROM guarded WHERE id = 1')).toEqual([
    { settings: '{"colour":"blue"}', numbers: [1, 2, 3] },
  ]);
});
