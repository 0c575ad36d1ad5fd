import { NestFactory } from '@nestjs/core';
import { TransactionManager, UowModule } from 'nestjs-uow';
import { DataSource, EntityManager, Repository } from 'typeorm';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { Author, Book } from './library-app.js';

let database: TestDatabase;
let dataSource: DataSource;

beforeAll(async () => {
  database = await createTestDatabase();
});

afterAll(async () => {
  await database.drop();
});

beforeEach(async () => {
  dataSource = new DataSource({ ...database.typeorm, entities: [Author, Book], synchronize: true });
  await dataSource.initialize();
});

afterEach(async () => {
  if (dataSource.isInitialized) await dataSource.destroy();
});

const PROTOTYPES = {
  DataSource: DataSource.prototype,
  EntityManager: EntityManager.prototype,
  Repository: Repository.prototype,
};

const picture = (object: object): Record<string | symbol, unknown> =>
  Object.fromEntries(
    Reflect.ownKeys(object).map((key) => {
      const descriptor = Object.getOwnPropertyDescriptor(object, key);
      return [key, descriptor?.value ?? descriptor?.get];
    }),
  );

const start = async (source: DataSource) =>
  await NestFactory.createApplicationContext(UowModule.forRoot({ dataSource: source }), {
    logger: false,
  });

test.each(Object.entries(PROTOTYPES))('%s.prototype is not changed', async (_name, prototype) => {
  const before = picture(prototype);
  const app = await start(dataSource);
  expect(picture(prototype)).toEqual(before);
  await app.close();
});

test('a data source that was not handed to the module is not changed', async () => {
  const other = new DataSource({ ...database.typeorm, entities: [Author, Book] });
  const before = [picture(other), picture(other.manager)];
  const app = await start(dataSource);
  expect([picture(other), picture(other.manager)]).toEqual(before);
  await app.close();
});

test('closing the application gives the data source back as it was', async () => {
  const before = [Reflect.ownKeys(dataSource), Reflect.ownKeys(dataSource.manager)];
  const app = await start(dataSource);
  expect(Reflect.ownKeys(dataSource)).not.toEqual(before[0]);
  await app.close();
  expect([Reflect.ownKeys(dataSource), Reflect.ownKeys(dataSource.manager)]).toEqual(before);
});

test('repositories obtained before the module existed join as well', async () => {
  const authors = dataSource.getRepository(Author);
  const app = await start(dataSource);
  await app
    .get(TransactionManager)
    .run(async () => {
      await authors.insert({ name: 'Ada' });
      throw new Error('undo');
    })
    .catch(() => undefined);
  expect(await authors.count()).toBe(0);
  await app.close();
});

test('a data source that is initialized later joins from then on', async () => {
  const late = new DataSource({ ...database.typeorm, entities: [Author, Book] });
  const app = await start(late);
  await late.initialize();
  await app
    .get(TransactionManager)
    .run(async () => {
      await late.getRepository(Author).insert({ name: 'Ada' });
      throw new Error('undo');
    })
    .catch(() => undefined);
  expect(await late.getRepository(Author).count()).toBe(0);
  await app.close();
  await late.destroy();
});

test('one data source object in two applications joins the transaction of whichever runs', async () => {
  const [one, two] = [await start(dataSource), await start(dataSource)];
  const authors = dataSource.getRepository(Author);
  for (const app of [one, two]) {
    await app
      .get(TransactionManager)
      .run(async () => {
        await authors.insert({ name: 'Ada' });
        throw new Error('undo');
      })
      .catch(() => undefined);
    expect(await authors.count()).toBe(0);
  }
  await one.close();
  await two
    .get(TransactionManager)
    .run(async () => {
      await authors.insert({ name: 'Ada' });
      throw new Error('undo');
    })
    .catch(() => undefined);
  expect(await authors.count()).toBe(0);
  await two.close();
});
