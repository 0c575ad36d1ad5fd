import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { setTimeout as pause } from 'node:timers/promises';
import { Body, Controller, Get, Injectable, Module, Post } from '@nestjs/common';
import {
  DbSession,
  DbSessionFactory,
  InjectDbSessionFactory,
  NoSessionError,
  PendingRollbackError,
  Transactional,
  TransactionManager,
} from 'nestjs-uow';
import { listen, Note, NotesDatabase, type ListeningApp } from '../nest/notes-app.js';

/** The five mistakes with sessions that tutorials warn of, each made on purpose in an application: impossible, or named. */

const note = (text: string): Note => Object.assign(new Note(), { text });

@Injectable()
class Mistakes {
  constructor(
    readonly session: DbSession,
    @InjectDbSessionFactory() readonly factory: DbSessionFactory,
  ) {}

  @Transactional()
  async failsHalfWay(): Promise<void> {
    this.session.add(note('half'));
    await this.session.flush();
    throw new Error('half way');
  }
}

let answer: (() => void) | null = null;
const slowService = (): Promise<void> => new Promise((resolve) => (answer = resolve));
let seen: unknown = null;

@Controller()
class MistakesController {
  constructor(
    private readonly mistakes: Mistakes,
    private readonly session: DbSession,
  ) {}

  /** Catches what the database says, and goes on as if nothing had happened. */
  @Post('no-rollback')
  async noRollback(@Body() { text }: { text: string }): Promise<string> {
    this.session.addAll([note(text), note(text)]);
    await this.session.flush().catch(() => undefined);
    seen = await this.session.find(Note).catch((error: unknown) => error);
    return 'ok';
  }

  @Post('half-way')
  async halfWay(): Promise<string> {
    await this.mistakes.failsHalfWay().catch(() => undefined);
    return `${await this.session.count(Note)} notes`;
  }

  /** Holds a transaction while another service takes its time. */
  @Post('too-long')
  async tooLong(@Body() { text }: { text: string }): Promise<string> {
    this.session.add(note(text));
    await this.session.flush();
    await slowService();
    await this.session.commit();
    return 'ok';
  }

  @Get('id')
  id(): string {
    return this.session.id;
  }

  /** Flushes, and takes that for saved. */
  @Post('only-flushed')
  async onlyFlushed(@Body() { text }: { text: string }): Promise<string> {
    this.session.add(note(text));
    await this.session.flush();
    return 'ok';
  }

  @Post('only-added')
  onlyAdded(@Body() { text }: { text: string }): string {
    this.session.add(note(text));
    return 'ok';
  }

  /** Counts what it has not flushed yet. */
  @Post('query')
  @Transactional()
  async query(@Body() { text }: { text: string }): Promise<number> {
    this.session.add(note(text));
    return await this.session.count(Note);
  }
}

let db: NotesDatabase;
let app: ListeningApp;
let mistakes: Mistakes;
const warnings: { code: string; message: string }[] = [];
const hear = (warning: unknown): void => void warnings.push(warning as (typeof warnings)[number]);

beforeAll(async () => {
  db = await NotesDatabase.create();
  @Module({ imports: db.imports({ warnAfter: 30 }), controllers: [MistakesController], providers: [Mistakes] })
  class AppModule {}
  app = await listen(AppModule, 'Express');
  mistakes = app.app.get(Mistakes);
  subscribe('nestjs-uow:warning', hear);
});
afterAll(async () => {
  unsubscribe('nestjs-uow:warning', hear);
  await app[Symbol.asyncDispose]();
  await db[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await db.clear();
  warnings.length = 0;
});

describe('no rollback on an error', () => {
  test('a session refuses everything after a failed flush, with the failure, and the request leaves nothing', async () => {
    expect(await app.post('/no-rollback', { text: 'twice' })).toMatchObject({ status: 500 });
    expect(seen).toBeInstanceOf(PendingRollbackError);
    expect((seen as Error).cause).toMatchObject({ code: 'UOW_UNIQUE_VIOLATION' });
    expect(await db.texts()).toEqual([]);
  });

  test('rollback() is all that it takes to go on', async () => {
    await using session = mistakes.factory.open();
    session.addAll([note('twice'), note('twice')]);
    await expect(session.flush()).rejects.toMatchObject({ code: 'UOW_UNIQUE_VIOLATION' });
    await expect(session.commit()).rejects.toThrow(PendingRollbackError);
    await session.rollback();
    session.add(note('once'));
    await session.commit();
    expect(await db.texts()).toEqual(['once']);
  });

  test('a throw out of a @Transactional() method rolls back, whoever catches it', async () => {
    expect(await app.post('/half-way')).toEqual({ status: 201, body: '0 notes' });
    expect(await db.texts()).toEqual([]);
  });

  test('a throw out of transaction(fn), begin(fn) or an "await using" block rolls back', async () => {
    const fails = async (session: DbSession): Promise<never> => {
      session.add(note('gone'));
      await session.flush();
      throw new Error('undo');
    };
    await expect(mistakes.factory.begin(fails)).rejects.toThrow('undo');
    const inTransaction = async (): Promise<void> => {
      await using session = mistakes.factory.open();
      await session.transaction(fails);
    };
    await expect(inTransaction()).rejects.toThrow('undo');
    const inBlock = async (): Promise<void> => {
      await using session = mistakes.factory.open();
      await fails(session);
    };
    await expect(inBlock()).rejects.toThrow('undo');
    await db.database.untilNoTransaction();
    expect(await db.texts()).toEqual([]);
  });
});

describe('a session that is kept open too long', () => {
  const untilWarned = async (): Promise<void> => {
    while (warnings.length === 0) await pause(5);
  };

  test('a request that holds a transaction is reported, with where that was begun', async () => {
    const response = app.post('/too-long', { text: 'a' });
    await untilWarned();
    answer!();
    expect(await response).toMatchObject({ status: 201 });
    expect(warnings).toMatchObject([{ code: 'UOW_WARN_SESSION_OPEN_TOO_LONG' }]);
    expect(warnings[0]!.message).toMatch(
      /^The transaction that session\.flush\(\).* began, in the session of POST \/too-long, has been open for more than 30 ms/,
    );
    expect(await db.texts()).toEqual(['a']);
  });

  test('one of the factory, with where it was opened', async () => {
    await using session = mistakes.factory.open();
    await session.execute('SELECT 1');
    await untilWarned();
    await pause(100);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]!.message).toMatch(
      /in the session opened by DbSessionFactory\.open\(\) .*common-mistakes\.test\.ts/,
    );
  });

  test('one without a transaction holds no connection, and is not reported', async () => {
    await using session = mistakes.factory.open();
    await session.find(Note);
    await db.database.untilNoTransaction();
    await pause(100);
    expect(warnings).toEqual([]);
  });

  test('a declared scope has its timeout instead', async () => {
    await app.app.get(TransactionManager).run(async () => {
      await mistakes.session.count(Note);
      await pause(100);
    });
    expect(warnings).toEqual([]);
  });
});

describe('a global session', () => {
  test('the injected one is the running request’s, and there is none outside', async () => {
    const ids = await Promise.all([app.get('/id'), app.get('/id')]);
    expect(new Set(ids.map(({ body }) => body)).size).toBe(2);
    await expect(mistakes.session.find(Note)).rejects.toThrow(NoSessionError);
    expect(() => {
      mistakes.session.add(note('global'));
    }).toThrow(/outside every request/);
  });
});

describe('a session that is not closed', () => {
  test('is rolled back when the application ends, and reported', async () => {
    @Module({ imports: db.imports() })
    class AppModule {}
    const other = await listen(AppModule, 'Express');
    const session = other.app.get(DbSessionFactory).open();
    session.add(note('forgotten'));
    await session.flush();
    await other[Symbol.asyncDispose]();
    expect(warnings).toMatchObject([{ code: 'UOW_WARN_OPEN_AT_SHUTDOWN' }]);
    expect(warnings[0]!.message).toContain('those of sessions that DbSessionFactory opened are rolled back');
    await db.database.untilNoTransaction();
    expect(await db.texts()).toEqual([]);
  });

  test('one of a request closes with it', async () => {
    await app.get('/id');
    await db.database.untilNoTransaction();
    expect(mistakes.factory.openedBy).toEqual([]);
  });
});

describe('ignored flush behaviour', () => {
  test.each(['/only-flushed', '/only-added'])(
    '%s: work that was not committed is not answered with a success',
    async (path) => {
      expect(await app.post(path, { text: 'a' })).toMatchObject({ status: 500 });
      expect(await db.texts()).toEqual([]);
    },
  );

  test('a query sees what was not flushed yet', async () => {
    expect(await app.post('/query', { text: 'a' })).toEqual({ status: 201, body: 1 });
    expect(await db.texts()).toEqual(['a']);
  });
});
