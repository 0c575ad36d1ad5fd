import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { INestApplicationContext } from '@nestjs/common';
import { InjectRepository, TypeOrmModule } from '@nestjs/typeorm';
import { DbSession, Transactional, UowModule } from 'nestjs-uow';
import { Column, Entity, PrimaryGeneratedColumn, Repository } from 'typeorm';
import { createTestDatabase } from '../support/test-database.js';
import type { TestDatabase } from '../support/test-database.js';
import { triedOptions } from '../support/tried-options.js';
import { startWireProxy } from '../support/wire-proxy.js';
import type { WireProxy } from '../support/wire-proxy.js';

/** What a newcomer does first: a service with a session and a repository, seen from the wire and from outside. */

@Entity()
class Task {
  @PrimaryGeneratedColumn('identity')
  id!: number;

  @Column({ unique: true })
  title!: string;
}

function task(title: string): Task {
  return Object.assign(new Task(), { title });
}

@Injectable()
class TaskService {
  constructor(
    private readonly session: DbSession,
    @InjectRepository(Task) private readonly tasks: Repository<Task>,
  ) {}

  @Transactional()
  async add(title: string): Promise<Task> {
    const added = task(title);
    this.session.add(added);
    await this.session.flush();
    return added;
  }

  @Transactional()
  async addBothWays(title: string): Promise<void> {
    this.session.add(task(`${title} by the session`));
    await this.tasks.save(task(`${title} by the repository`));
  }

  @Transactional()
  addAndThrowAtOnce(title: string, thrown: unknown): Promise<void> {
    this.session.add(task(title));
    throw thrown;
  }

  @Transactional()
  async addAndThrow(title: string, thrown: unknown): Promise<void> {
    this.session.add(task(title));
    await this.session.flush();
    await this.tasks.insert(task(`${title} again`));
    throw thrown;
  }

  @Transactional()
  async addTwiceAndSwallow(title: string): Promise<string> {
    await this.tasks.insert(task(title));
    await this.tasks.insert(task(title)).catch((error: unknown) => {
      this.swallowed = error;
    });
    return 'done';
  }

  swallowed: unknown;

  @Transactional()
  async flushAndLook(title: string, look: () => Promise<number>): Promise<{ id: number; seen: number }> {
    const added = task(title);
    this.session.add(added);
    await this.session.flush();
    return { id: added.id, seen: await look() };
  }
}

let database: TestDatabase;
let proxy: WireProxy;
let app: INestApplicationContext;
let service: TaskService;

beforeAll(async () => {
  database = await createTestDatabase({
    schema: 'CREATE TABLE task (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title text NOT NULL UNIQUE)',
  });
  proxy = await startWireProxy(database);

  @Module({
    imports: [
      TypeOrmModule.forRoot({ ...proxy.typeorm, entities: [Task] }),
      TypeOrmModule.forFeature([Task]),
      UowModule.forRoot(triedOptions),
    ],
    providers: [TaskService],
  })
  class TaskModule {}

  app = await NestFactory.createApplicationContext(TaskModule, { logger: ['error', 'warn'] });
  service = app.get(TaskService);
});

afterAll(async () => {
  await app.close();
  await proxy.close();
  await database.drop();
});

const titles = async (): Promise<string[]> =>
  (await database.query<{ title: string }>('SELECT title FROM task ORDER BY title')).map(({ title }) => title);

beforeEach(async () => {
  await database.query('TRUNCATE task');
});

test('a method that returns commits, with BEGIN in the round trip of its first statement', async () => {
  const seen = await proxy.record(() => service.add('first'));
  expect(seen.sql.slice(0, 2)).toEqual(['BEGIN', expect.stringContaining('INSERT INTO "task"')]);
  const [begin, insert] = seen.statements;
  expect(begin?.roundTrip).toBe(insert?.roundTrip);
  expect(seen.sql.at(-1)).toBe('COMMIT');
  expect(seen.roundTrips).toBe(2);
  expect(await titles()).toEqual(['first']);
});

test('a method that uses the session and a repository commits both in one transaction', async () => {
  const seen = await proxy.record(() => service.addBothWays('one'));
  expect(seen.transcripts).toHaveLength(1);
  expect(seen.sql.filter((text) => text === 'BEGIN' || text === 'COMMIT')).toEqual(['BEGIN', 'COMMIT']);
  expect(await titles()).toEqual(['one by the repository', 'one by the session']);
});

test.each([
  ['an Error', new Error('no')],
  ['a string', 'no'],
  ['undefined', undefined],
  ['an object', { reason: 'no' }],
])('a method that throws %s after an await rolls all of it back and throws on that very value', async (_, thrown) => {
  const seen = await proxy.record(async () => {
    await expect(service.addAndThrow('lost', thrown)).rejects.toBe(thrown);
  });
  expect(seen.sql.at(-1)).toBe('ROLLBACK');
  expect(await titles()).toEqual([]);
});

test.each([
  ['an Error', new Error('no')],
  ['a string', 'no'],
])(
  'a method that throws %s before its first await sends nothing and rejects with that very value',
  async (_, thrown) => {
    const seen = await proxy.record(async () => {
      await expect(service.addAndThrowAtOnce('lost', thrown)).rejects.toBe(thrown);
    });
    expect(seen.sql).toEqual([]);
    expect(await titles()).toEqual([]);
  },
);

test('flush fills generated ids while a second connection sees nothing, and after the commit it sees all', async () => {
  const { id, seen } = await service.flushAndLook('flushed', async () => (await titles()).length);
  expect(id).toEqual(expect.any(Number));
  expect(seen).toBe(0);
  expect(await database.query('SELECT id, title FROM task')).toEqual([{ id, title: 'flushed' }]);
});

test('a swallowed query error ends in TransactionRolledBackError with that very error as its cause', async () => {
  await expect(service.addTwiceAndSwallow('twice')).rejects.toMatchObject({
    code: 'UOW_TRANSACTION_ROLLED_BACK',
  });
  const error: unknown = await service.addTwiceAndSwallow('twice').catch((thrown: unknown) => thrown);
  expect((error as Error).cause).toBe(service.swallowed);
  expect(service.swallowed).toMatchObject({ name: 'QueryFailedError' });
  expect(await titles()).toEqual([]);
});
