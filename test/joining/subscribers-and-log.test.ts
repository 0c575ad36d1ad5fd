import { NestFactory } from '@nestjs/core';
import { DbSession, TransactionManager, UowModule } from 'nestjs-uow';
import { DataSource, EventSubscriber } from 'typeorm';
import type { EntitySubscriberInterface, Logger, QueryRunner, TransactionCommitEvent } from 'typeorm';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { triedOptions } from '../support/tried-options.js';
import { Author, Book } from './library-app.js';

/** Hears of every transaction event, and writes when it is told to. */
@EventSubscriber()
class TransactionSubscriber implements EntitySubscriberInterface {
  readonly heard: string[] = [];
  write = false;

  #hear(event: string, runner: QueryRunner): void {
    this.heard.push(`${event} ${runner.isTransactionActive ? 'active' : 'over'}`);
  }

  beforeTransactionStart({ queryRunner }: { queryRunner: QueryRunner }): void {
    this.#hear('beforeTransactionStart', queryRunner);
  }

  afterTransactionStart({ queryRunner }: { queryRunner: QueryRunner }): void {
    this.#hear('afterTransactionStart', queryRunner);
  }

  async beforeTransactionCommit({ queryRunner, manager }: TransactionCommitEvent): Promise<void> {
    this.#hear('beforeTransactionCommit', queryRunner);
    if (this.write) await manager.insert(Author, { name: 'written at the last moment' });
  }

  afterTransactionCommit({ queryRunner }: { queryRunner: QueryRunner }): void {
    this.#hear('afterTransactionCommit', queryRunner);
  }

  beforeTransactionRollback({ queryRunner }: { queryRunner: QueryRunner }): void {
    this.#hear('beforeTransactionRollback', queryRunner);
  }

  afterTransactionRollback({ queryRunner }: { queryRunner: QueryRunner }): void {
    this.#hear('afterTransactionRollback', queryRunner);
  }
}

class RecordingLogger implements Logger {
  readonly queries: string[] = [];
  readonly errors: string[] = [];

  logQuery(query: string): void {
    this.queries.push(query);
  }
  logQueryError(error: string | Error, query: string): void {
    void error;
    this.errors.push(query);
  }
  logQuerySlow(): void {}
  logSchemaBuild(): void {}
  logMigration(): void {}
  log(): void {}
}

let database: TestDatabase;
let dataSource: DataSource;
let subscriber: TransactionSubscriber;
let logger: RecordingLogger;
let manager: TransactionManager;
let session: DbSession;
let close: () => Promise<void>;

beforeAll(async () => {
  database = await createTestDatabase();
  logger = new RecordingLogger();
  dataSource = await new DataSource({
    ...database.typeorm,
    entities: [Author, Book],
    subscribers: [TransactionSubscriber],
    synchronize: true,
    logger,
  }).initialize();
  subscriber = dataSource.subscribers[0] as TransactionSubscriber;
  const app = await NestFactory.createApplicationContext(UowModule.forRoot({ ...triedOptions, dataSource }), {
    logger: false,
  });
  manager = app.get(TransactionManager);
  session = app.get(DbSession);
  close = async () => {
    await app.close();
  };
});

afterAll(async () => {
  await close();
  await dataSource.destroy();
  await database.drop();
});

beforeEach(async () => {
  await database.query('TRUNCATE author, book CASCADE');
  subscriber.heard.length = 0;
  subscriber.write = false;
  logger.queries.length = 0;
  logger.errors.length = 0;
});

const WORK: Record<string, () => Promise<unknown>> = {
  'a repository': () => dataSource.getRepository(Author).insert({ name: 'Ada' }),
  'the session': async () => {
    session.add(Object.assign(new Author(), { name: 'Ada' }));
    await session.flush();
  },
};

describe('TypeORM’s subscribers', () => {
  test.each(Object.keys(WORK))('hear of the transaction in which %s works', async (who) => {
    await manager.run(WORK[who] as () => Promise<unknown>);
    expect(subscriber.heard).toEqual([
      'beforeTransactionStart active',
      'afterTransactionStart active',
      'beforeTransactionCommit active',
      'afterTransactionCommit over',
    ]);
  });

  test('hear of its rollback', async () => {
    await manager
      .run(async () => {
        await dataSource.getRepository(Author).insert({ name: 'Ada' });
        throw new Error('undo');
      })
      .catch(() => undefined);
    expect(subscriber.heard.slice(2)).toEqual(['beforeTransactionRollback active', 'afterTransactionRollback over']);
  });

  test('may write in it before it is committed', async () => {
    subscriber.write = true;
    await manager.run(WORK['a repository'] as () => Promise<unknown>);
    expect(await database.query('SELECT name FROM author ORDER BY id')).toEqual([
      { name: 'Ada' },
      { name: 'written at the last moment' },
    ]);
  });

  test('hear nothing of a transaction that was never begun', async () => {
    await manager.run(() => undefined);
    expect(subscriber.heard).toEqual([]);
  });
});

describe('TypeORM’s log', () => {
  test.each(Object.keys(WORK))('shows each statement of %s once, BEGIN and COMMIT among them', async (who) => {
    await manager.run(WORK[who] as () => Promise<unknown>);
    const shown = logger.queries.map((query) => /\b(INSERT|BEGIN|COMMIT)\b/.exec(query)?.[1]);
    expect(shown.filter((word) => word !== undefined).toSorted()).toEqual(['BEGIN', 'COMMIT', 'INSERT']);
  });

  test('shows a failed statement once', async () => {
    await manager
      .run(async () => {
        await dataSource.getRepository(Author).insert({ name: 'Ada' });
        await dataSource.getRepository(Author).insert({ name: 'Ada' });
      })
      .catch(() => undefined);
    expect(logger.errors).toHaveLength(1);
  });
});
