import { Controller, Get, Module, Param, Post, Sse } from '@nestjs/common';
import type { Type } from '@nestjs/common';
import { DbSession, Transactional, TransactionManager } from 'nestjs-uow';
import type { TransactionStatus } from 'nestjs-uow';
import { concatMap, defer, from, map, Observable } from 'rxjs';
import { listen, type ListeningApp, Note, Notes, NotesDatabase, PLATFORMS } from './notes-app.js';

const of = (status: TransactionStatus | null): unknown =>
  status === null ? null : { label: status.label, readOnly: status.readOnly };

@Controller()
class NotesController {
  constructor(
    private readonly notes: Notes,
    private readonly session: DbSession,
    private readonly transactions: TransactionManager,
  ) {}

  @Get('status')
  status(): unknown {
    return of(this.transactions.current());
  }

  @Get('declared')
  @Transactional({ readOnly: true })
  async declared(): Promise<unknown> {
    return of(this.transactions.current());
  }

  @Post('new/:text')
  @Transactional({ propagation: 'REQUIRES_NEW' })
  async requiresNew(@Param('text') text: string): Promise<string> {
    return await this.notes.write(text);
  }

  @Post('write/:text')
  async write(@Param('text') text: string): Promise<string> {
    await this.notes.write(text);
    if (text === 'fail') throw new Error('undo');
    return text;
  }

  @Post('session/:text')
  unflushed(@Param('text') text: string): string {
    this.session.add(Object.assign(new Note(), { text }));
    return text;
  }

  @Post('observe/:text')
  observe(@Param('text') text: string): Observable<string> {
    return defer(() => this.notes.write(text));
  }

  @Sse('events')
  events(): Observable<{ data: string }> {
    return from(['a', 'b']).pipe(
      concatMap((text) => this.notes.write(text)),
      map((data) => ({ data })),
    );
  }

  @Post('hook/:text')
  async hook(@Param('text') text: string): Promise<string> {
    this.transactions.afterCommit(() => {
      throw new Error('the mail server is down');
    });
    return await this.notes.write(text);
  }
}

@Controller()
class DecoratedController {
  constructor(
    private readonly notes: Notes,
    private readonly transactions: TransactionManager,
  ) {}

  @Post('hook/:text')
  @Transactional()
  async hook(@Param('text') text: string): Promise<string> {
    this.transactions.afterCommit(() => {
      throw new Error('the mail server is down');
    });
    return await this.notes.write(text);
  }
}

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

const root = (controller: Type, options: object): Type => {
  @Module({ imports: db.imports(options), controllers: [controller], providers: [Notes] })
  class AppModule {}
  return AppModule;
};

describe.each(PLATFORMS)('transactionPerRequest on %s', (platform) => {
  let server: ListeningApp;

  beforeAll(async () => {
    server = await listen(root(NotesController, { transactionPerRequest: true }), platform);
  });

  afterAll(async () => {
    await server[Symbol.asyncDispose]();
  });

  test('runs each handler in a transaction, named after it', async () => {
    expect(await server.get('/status')).toEqual({
      status: 200,
      body: { label: 'NotesController.status', readOnly: false },
    });
  });

  test('commits before the answer is sent', async () => {
    expect(await server.post('/write/a')).toEqual({ status: 201, body: 'a' });
    expect(await db.texts()).toEqual(['a']);
  });

  test('rolls back when the handler throws', async () => {
    expect(await server.post('/write/fail')).toMatchObject({ status: 500 });
    expect(await db.texts()).toEqual([]);
  });

  test('a failed commit is a failed answer', async () => {
    await db.database.query(
      `CREATE CONSTRAINT TRIGGER late AFTER INSERT ON note DEFERRABLE INITIALLY DEFERRED
         FOR EACH ROW WHEN (NEW.text = 'late') EXECUTE FUNCTION refuse()`,
    );
    expect(await server.post('/write/late')).toMatchObject({ status: 500 });
    expect(await db.texts()).toEqual([]);
    await db.database.query('DROP TRIGGER late ON note');
  });

  test('flushes and commits what the handler left in its session', async () => {
    expect(await server.post('/session/a')).toMatchObject({ status: 201 });
    expect(await db.texts()).toEqual(['a']);
  });

  test('a handler’s own declaration holds for it, and opens nothing a second time', async () => {
    expect(await server.get('/declared')).toEqual({
      status: 200,
      body: { label: 'NotesController.declared', readOnly: true },
    });
    const seen = await db.proxy.record(() => server.post('/new/a'));
    expect(seen.sql.filter((sql) => sql === 'BEGIN')).toHaveLength(1);
    expect(seen.transcripts).toHaveLength(1);
  });

  test('an Observable’s value is sent after the commit', async () => {
    expect(await server.post('/observe/a')).toEqual({ status: 201, body: 'a' });
    expect(await db.texts()).toEqual(['a']);
  });

  test('server-sent events are one transaction, which ends with the stream', async () => {
    const { body } = await server.get('/events');
    expect(body).toContain('data: a');
    expect(body).toContain('data: b');
    expect(await db.texts()).toEqual(['a', 'b']);
  });

  test('a failing afterCommit hook is logged, and the success answered', async () => {
    expect(await server.post('/hook/a')).toEqual({ status: 201, body: 'a' });
    expect(await db.texts()).toEqual(['a']);
  });

  test('takes options for all handlers', async () => {
    await using readOnly = await listen(root(NotesController, { transactionPerRequest: { readOnly: true } }), platform);
    expect(await readOnly.get('/status')).toMatchObject({ body: { readOnly: true } });
  });
});

describe.each(PLATFORMS)('a transactional handler on %s', (platform) => {
  test('whose afterCommit hook fails is answered with its success', async () => {
    await using server = await listen(root(DecoratedController, {}), platform);
    expect(await server.post('/hook/a')).toEqual({ status: 201, body: 'a' });
    expect(await db.texts()).toEqual(['a']);
  });
});
