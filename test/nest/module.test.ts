import { Injectable, Module } from '@nestjs/common';
import type { DynamicModule, INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import { TypeOrmModule } from '@nestjs/typeorm';
import {
  DbSession,
  DbSessionFactory,
  getDbSessionToken,
  Transactional,
  TransactionManager,
  UowModule,
} from 'nestjs-uow';
import type { UowOptions } from 'nestjs-uow';
import { DataSource } from 'typeorm';
import { listen, Note, Notes, NotesDatabase } from './notes-app.js';

let db: NotesDatabase;

beforeAll(async () => {
  db = await NotesDatabase.create();
});

afterAll(async () => {
  await db[Symbol.asyncDispose]();
});

beforeEach(async () => {
  await db.clear();
});

const start = async (...imports: DynamicModule[]): Promise<INestApplicationContext> => {
  @Module({ imports })
  class AppModule {}
  return await NestFactory.createApplicationContext(AppModule, { logger: false, abortOnError: false });
};

const typeOrm = (): DynamicModule => TypeOrmModule.forRoot({ ...db.proxy.typeorm, entities: [Note] });

const rollsBack = async (app: INestApplicationContext): Promise<void> => {
  await app
    .get(TransactionManager)
    .run(async () => {
      await app.get(DataSource).getRepository(Note).insert({ text: 'gone' });
      throw new Error('undo');
    })
    .catch(() => undefined);
  expect(await db.texts()).toEqual([]);
};

describe('the data source', () => {
  test('is the one of @nestjs/typeorm, whatever the order of the imports', async () => {
    for (const imports of [
      [typeOrm(), UowModule.forRoot()],
      [UowModule.forRoot(), typeOrm()],
    ]) {
      const app = await start(...imports);
      await rollsBack(app);
      await app.close();
    }
  });

  test('may come from a module that is not global, in imports', async () => {
    @Module({
      providers: [
        {
          provide: DataSource,
          useFactory: async () => await new DataSource({ ...db.proxy.typeorm, entities: [Note] }).initialize(),
        },
      ],
      exports: [DataSource],
    })
    class DatabaseModule {}
    @Module({ imports: [DatabaseModule, UowModule.forRoot({ imports: [DatabaseModule] })] })
    class AppModule {}
    const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
    await rollsBack(app);
    const dataSource = app.get(DataSource);
    await app.close();
    await dataSource.destroy();
  });

  test('may be given as an object: it is the default one', async () => {
    const dataSource = await new DataSource({ ...db.proxy.typeorm, entities: [Note] }).initialize();
    const app = await start(UowModule.forRoot({ dataSource }));
    expect(app.get(DbSession)).toBeInstanceOf(DbSession);
    await app.close();
    await dataSource.destroy();
  });

  test('given as an object has the name that is given beside it', async () => {
    const dataSource = await new DataSource({ ...db.proxy.typeorm, entities: [Note] }).initialize();
    const app = await start(UowModule.forRoot({ dataSource, name: 'archive' }));
    expect(app.get(getDbSessionToken('archive'))).toBeInstanceOf(DbSession);
    expect(() => app.get(DbSession)).toThrow();
    await app.close();
    await dataSource.destroy();
  });

  test('that is nowhere to be found is an error at start that says what to import', async () => {
    await expect(start(UowModule.forRoot())).rejects.toMatchObject({
      code: 'UOW_UNKNOWN_DATA_SOURCE',
      message: expect.stringMatching(/TypeOrmModule\.forRoot/) as string,
    });
  });

  test('of another database than PostgreSQL is refused', async () => {
    // Drivers of other databases are not installed here; what counts is the type.
    const dataSource = Object.assign(Object.create(DataSource.prototype) as DataSource, {
      options: { type: 'mysql' },
    });
    await expect(start(UowModule.forRoot({ dataSource }))).rejects.toMatchObject({
      code: 'UOW_UNSUPPORTED_DATA_SOURCE',
    });
  });

  test('twice under one name is an error at start', async () => {
    await expect(start(typeOrm(), UowModule.forRoot(), UowModule.forRoot({ autoflush: false }))).rejects.toMatchObject({
      code: 'UOW_DUPLICATE_DATA_SOURCE',
    });
  });

  test('under two names is an error at start', async () => {
    const dataSource = await new DataSource({ ...db.proxy.typeorm, entities: [Note] }).initialize();
    await expect(
      start(UowModule.forRoot({ dataSource }), UowModule.forRoot({ dataSource, name: 'again' })),
    ).rejects.toMatchObject({ code: 'UOW_DUPLICATE_DATA_SOURCE' });
    await dataSource.destroy();
  });
});

describe('forRootAsync', () => {
  @Module({
    providers: [{ provide: 'options', useValue: { transaction: { readOnly: true } } }],
    exports: ['options'],
  })
  class OptionsModule {}

  test('takes options from a factory and what is injected into it', async () => {
    const app = await start(
      typeOrm(),
      UowModule.forRootAsync({
        imports: [OptionsModule],
        inject: ['options'],
        useFactory: async (options: UowOptions) => await Promise.resolve(options),
      }),
    );
    const manager = app.get(TransactionManager);
    expect(await manager.run(() => manager.current()?.readOnly)).toBe(true);
    await app.close();
  });

  test('looks up the data source that the factory names', async () => {
    const app = await start(
      TypeOrmModule.forRoot({ ...db.proxy.typeorm, name: 'late', entities: [Note] }),
      UowModule.forRootAsync({ useFactory: () => ({ dataSource: 'late' }) }),
    );
    await app
      .get(TransactionManager)
      .run(async () => {
        await app.get<DataSource>('lateDataSource').getRepository(Note).insert({ text: 'gone' });
        throw new Error('undo');
      })
      .catch(() => undefined);
    expect(await db.texts()).toEqual([]);
    await app.close();
  });

  test('looks up the data source of its own name', async () => {
    const app = await start(
      TypeOrmModule.forRoot({ ...db.proxy.typeorm, name: 'late', entities: [Note] }),
      UowModule.forRootAsync({ name: 'late', useFactory: () => ({}) }),
    );
    expect(app.get(getDbSessionToken('late'))).toBeInstanceOf(DbSession);
    await app.close();
  });
});

@Injectable()
class Writer {
  constructor(private readonly notes: Notes) {}

  @Transactional()
  async write(text: string): Promise<void> {
    await this.notes.write(text);
    throw new Error('undo');
  }
}

describe('an application under test', () => {
  test('works by Test.createTestingModule, with and without a server', async () => {
    const module = await Test.createTestingModule({
      imports: db.imports(),
      providers: [Notes, Writer],
    }).compile();
    await expect(module.get(Writer).write('a')).rejects.toThrow('undo');
    expect(await db.texts()).toEqual([]);
    const app = module.createNestApplication({ logger: false });
    await app.init();
    await expect(app.get(Writer).write('a')).rejects.toThrow('undo');
    await app.close();
  });
});

describe('shutting down', () => {
  let own: NotesDatabase;

  beforeAll(async () => {
    own = await NotesDatabase.create();
  });

  afterAll(async () => {
    await own[Symbol.asyncDispose]();
  });

  test('ends what sessions have open, also when the data source goes first', async () => {
    const app = await start(UowModule.forRoot(), TypeOrmModule.forRoot({ ...own.proxy.typeorm, entities: [Note] }));
    const session = app.get(DbSessionFactory).open();
    await session.execute('INSERT INTO note (text) VALUES ($1)', ['gone']);
    await app.close();
    await own.database.untilNoConnection();
    expect(await own.texts()).toEqual([]);
  });

  test('of an HTTP server leaves no connection', async () => {
    @Module({ imports: own.imports() })
    class Root {}
    const server = await listen(Root, 'Express');
    await server[Symbol.asyncDispose]();
    await own.database.untilNoConnection();
  });
});
