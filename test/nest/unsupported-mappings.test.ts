import { Injectable, Module } from '@nestjs/common';
import type { INestApplicationContext, LoggerService } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { InjectDataSource, TypeOrmModule } from '@nestjs/typeorm';
import { DbSession, DbSessionFactory, Transactional, UnsupportedMappingError, UowModule } from 'nestjs-uow';
import {
  Column,
  DataSource,
  Entity,
  ManyToOne,
  PrimaryGeneratedColumn,
  Tree,
  TreeChildren,
  TreeParent,
  ViewColumn,
  ViewEntity,
} from 'typeorm';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';

/** Entities that sessions refuse: named when the application starts, refused by each call, and joined by repositories. */

@Entity()
@Tree('closure-table')
class Category {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column('text')
  name!: string;

  @TreeParent()
  parent!: Category | null;

  @TreeChildren()
  children!: Category[];
}

@Entity()
@Tree('materialized-path')
class Folder {
  @PrimaryGeneratedColumn()
  id!: number;

  @TreeParent()
  parent!: Folder | null;

  @TreeChildren()
  children!: Folder[];
}

@ViewEntity({ expression: `SELECT count(*)::int AS number FROM category` })
class Size {
  @ViewColumn()
  number!: number;
}

@Entity()
class Product {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column('text')
  name!: string;

  @ManyToOne(() => Category, { nullable: true })
  category!: Category | null;
}

// Without PostGIS its table cannot be made.
@Entity({ synchronize: false })
class Site {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column('geography', { spatialFeatureType: 'Point', srid: 4326 })
  position!: object;
}

const grown = (name: string, parent: Category | null = null): Category =>
  Object.assign(new Category(), { name, parent });

@Injectable()
class Catalogue {
  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly session: DbSession,
  ) {}

  @Transactional()
  async grow(name: string, end: 'commit' | 'throw'): Promise<void> {
    const trees = this.dataSource.getTreeRepository(Category);
    const root = await trees.save(grown(name));
    await trees.save(grown(`${name}, a branch`, root));
    this.session.add(Object.assign(new Product(), { name }));
    if (end === 'throw') throw new Error('undo');
  }
}

let database: TestDatabase;
let app: INestApplicationContext;
const lines: string[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  const note = (line: unknown): void => void lines.push(String(line));
  const logger: LoggerService = { log: () => undefined, error: note, warn: note };
  @Module({
    imports: [
      TypeOrmModule.forRoot({
        ...database.typeorm,
        entities: [Category, Folder, Size, Product, Site],
        synchronize: true,
      }),
      UowModule.forRoot(),
    ],
    providers: [Catalogue],
  })
  class AppModule {}
  app = await NestFactory.createApplicationContext(AppModule, { logger, abortOnError: false });
});
afterAll(async () => {
  await app.close();
  await database.drop();
});
beforeEach(async () => {
  await database.query('TRUNCATE category, category_closure, folder, product RESTART IDENTITY CASCADE');
});

test('the application starts, and its log names each with the reason, once', () => {
  const named = (entity: string): string[] => lines.filter((line) => line.includes(`support the entity ${entity}:`));
  expect(named('Category')).toEqual([
    'Sessions of data source "default" do not support the entity Category: it is a tree kept as closure-table, whose bookkeeping only TypeORM\'s tree repository does. Its repositories join transactions all the same. [UOW_WARN_UNSUPPORTED_MAPPING]',
  ]);
  expect(named('Folder')).toEqual([expect.stringContaining('it is a tree kept as materialized-path')]);
  expect(named('Size')).toEqual([expect.stringContaining('it has no primary key')]);
  expect(named('Site')).toEqual([
    expect.stringContaining("its column position is of the PostGIS type geography, which only TypeORM's own queries"),
  ]);
  expect(named('Product')).toEqual([]);
});

test('repositories of them join a transaction, and what the session does in it', async () => {
  const catalogue = app.get(Catalogue);
  const stored = async (): Promise<unknown[]> => [
    await database.query('SELECT name FROM category ORDER BY id'),
    await database.query('SELECT id_ancestor, id_descendant FROM category_closure ORDER BY 1, 2'),
    await database.query('SELECT name FROM product'),
  ];
  await expect(catalogue.grow('shoes', 'throw')).rejects.toThrow('undo');
  expect(await stored()).toEqual([[], [], []]);
  await database.query('TRUNCATE category RESTART IDENTITY CASCADE');
  await catalogue.grow('hats', 'commit');
  expect(await stored()).toEqual([
    [{ name: 'hats' }, { name: 'hats, a branch' }],
    [
      { id_ancestor: 1, id_descendant: 1 },
      { id_ancestor: 1, id_descendant: 2 },
      { id_ancestor: 2, id_descendant: 2 },
    ],
    [{ name: 'hats' }],
  ]);
});

const calls: [string, (session: DbSession, entity: Category) => unknown][] = [
  ['add', (session, entity) => session.add(entity)],
  ['addAll', (session, entity) => session.addAll([entity])],
  ['delete', (session, entity) => session.delete(entity)],
  ['deleteAll', (session, entity) => session.deleteAll([entity])],
  ['merge', (session, entity) => session.merge(entity)],
  ['mergeAll', (session, entity) => session.mergeAll([entity])],
  ['expunge', (session, entity) => session.expunge(entity)],
  ['refresh', (session, entity) => session.refresh(entity)],
  ['expire', (session, entity) => session.expire(entity)],
  ['makeTransient', (session, entity) => session.makeTransient(entity)],
  ['makeTransientToDetached', (session, entity) => session.makeTransientToDetached(entity)],
  ['get', (session) => session.get(Category, 1)],
  ['getOrFail', (session) => session.getOrFail(Category, 1)],
  ['getMany', (session) => session.getMany(Category, [1])],
  ['getManyOrFail', (session) => session.getManyOrFail(Category, [1])],
  ['find', (session) => session.find(Category)],
  ['findOne', (session) => session.findOne(Category)],
  ['findOneOrFail', (session) => session.findOneOrFail(Category)],
  ['count', (session) => session.count(Category)],
  ['exists', (session) => session.exists(Category)],
  ['createQueryBuilder', (session) => session.createQueryBuilder(Category, 'category')],
  ['stream', (session) => session.stream(Category)[Symbol.asyncIterator]().next()],
  ['load', (session, entity) => session.load([entity], { relations: ['children'] })],
  ['bulkInsert', (session) => session.bulkInsert(Category, [{ name: 'a' }])],
  ['bulkUpdate', (session) => session.bulkUpdate(Category, { id: 1 }, { name: 'b' })],
  ['bulkDelete', (session) => session.bulkDelete(Category, { id: 1 })],
  ['isModified', (session, entity) => session.isModified(entity)],
  ['changesOf', (session, entity) => session.changesOf(entity)],
];

test.each(calls)('session.%s() refuses them', async (_, call) => {
  await using session = app.get(DbSessionFactory).open();
  const entity = Object.assign(grown('a'), { id: 1 });
  const refused = (async () => await call(session, entity))();
  await expect(refused).rejects.toThrow(UnsupportedMappingError);
  await expect(refused).rejects.toThrow(/closure-table.*Use its repository/);
});

test('an object of one is refused where it is reached from another', async () => {
  await using session = app.get(DbSessionFactory).open();
  const product = Object.assign(new Product(), { name: 'a', category: grown('b') });
  expect(() => {
    session.add(product);
  }).toThrow(UnsupportedMappingError);
});

test('what only looks says the truth: such an object is in no session', async () => {
  await using session = app.get(DbSessionFactory).open();
  const entity = grown('a');
  expect(session.has(entity)).toBe(false);
  expect(session.inspect(entity)).toMatchObject({ state: 'transient', session: null });
});
