import { request } from 'node:http';
import {
  Body,
  Catch,
  Controller,
  Get,
  Inject,
  Injectable,
  Module,
  Post,
  Redirect,
  Res,
  Scope,
  UseFilters,
  UseGuards,
} from '@nestjs/common';
import type { ArgumentsHost, CanActivate, ExceptionFilter, Type } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import {
  DbSession,
  DbSessionFactory,
  InjectDbSessionFactory,
  REQUEST_DB_SESSION,
  Transactional,
  UncommittedWorkError,
} from 'nestjs-uow';
import { from, type Observable } from 'rxjs';
import { listen, type ListeningApp, Note, Notes, NotesDatabase, PLATFORMS } from './notes-app.js';

@Injectable()
class First {
  constructor(readonly session: DbSession) {}
}

@Injectable()
class Second {
  constructor(readonly session: DbSession) {}
}

@Injectable()
class Eager {
  constructor(private readonly notes: Notes) {}

  /** Begins its work before anybody subscribes. */
  @Transactional()
  write(text: string): Observable<string> {
    return from(this.notes.write(text));
  }
}

@Injectable({ scope: Scope.REQUEST })
class PerRequest {
  constructor(@Inject(REQUEST_DB_SESSION) readonly session: DbSession) {}
}

@Injectable()
class SessionGuard implements CanActivate {
  constructor(private readonly session: DbSession) {}

  canActivate(): boolean {
    this.session.info['seen by guard'] = true;
    return true;
  }
}

@Catch(UncommittedWorkError)
class TeapotFilter implements ExceptionFilter {
  catch(error: UncommittedWorkError, host: ArgumentsHost): void {
    const response = host.switchToHttp().getResponse<{
      status(code: number): { send(body: unknown): void };
    }>();
    response.status(418).send({ code: error.code });
  }
}

/** Answers every error with a success, through Nest's adapter. */
@Catch()
@Injectable()
class ForgivingFilter implements ExceptionFilter {
  constructor(private readonly host: HttpAdapterHost) {}

  catch(_error: unknown, host: ArgumentsHost): void {
    this.host.httpAdapter.reply(host.switchToHttp().getResponse(), { forgiven: true }, 200);
  }
}

let release: () => void = () => undefined;
let entered: () => void = () => undefined;

@Controller()
class SessionController {
  constructor(
    private readonly first: First,
    private readonly second: Second,
    private readonly session: DbSession,
    private readonly notes: Notes,
    private readonly eager: Eager,
    @InjectDbSessionFactory() private readonly factory: DbSessionFactory,
  ) {}

  @Get('bare')
  bare(): string {
    return 'bare';
  }

  @Get('ids')
  ids(): string[] {
    return [this.first.session.id, this.second.session.id];
  }

  @Get('guarded')
  @UseGuards(SessionGuard)
  guarded(): unknown {
    return this.session.info['seen by guard'] ?? null;
  }

  @Post('unflushed')
  unflushed(@Body() { text }: { text: string }): string {
    this.session.add(Object.assign(new Note(), { text }));
    return 'ok';
  }

  @Post('open')
  async open(@Body() { text }: { text: string }): Promise<string> {
    this.session.add(Object.assign(new Note(), { text }));
    await this.session.flush();
    return 'ok';
  }

  @Post('filtered')
  @UseFilters(TeapotFilter)
  async filtered(@Body() { text }: { text: string }): Promise<string> {
    return await this.open({ text });
  }

  @Post('redirected')
  @Redirect('/bare')
  async redirected(@Body() { text }: { text: string }): Promise<void> {
    await this.open({ text });
  }

  @Post('forgiven')
  @UseFilters(ForgivingFilter)
  async forgiven(@Body() { text }: { text: string }): Promise<void> {
    await this.open({ text });
    throw new Error('forgiven');
  }

  @Post('forgotten')
  forgotten(@Body() { text }: { text: string }): string {
    this.eager.write(text);
    return 'ok';
  }

  @Post('committed')
  async committed(@Body() { text }: { text: string }): Promise<number> {
    const note = Object.assign(new Note(), { text });
    this.session.add(note);
    await this.session.commit();
    return note.id;
  }

  @Post('thrown')
  async thrown(@Body() { text }: { text: string }): Promise<string> {
    await this.open({ text });
    throw new Error('after the flush');
  }

  @Post('by-hand')
  async byHand(@Body() { text }: { text: string }, @Res() response: { send(body: string): void }): Promise<void> {
    await this.open({ text });
    response.send('sent by hand');
  }

  @Post('held')
  @Transactional()
  async held(@Body() { text }: { text: string }): Promise<string> {
    await this.notes.write(text);
    entered();
    await new Promise<void>((resolve) => {
      release = resolve;
    });
    return 'held';
  }

  @Post('own')
  async own(@Body() { text }: { text: string }): Promise<string> {
    await this.factory.begin(async (session) => {
      session.add(Object.assign(new Note(), { text }));
    });
    return this.session.id;
  }
}

@Controller('scoped')
class ScopedController {
  constructor(
    private readonly perRequest: PerRequest,
    private readonly session: DbSession,
  ) {}

  @Get()
  ids(): string[] {
    return [this.perRequest.session.id, this.session.id];
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

describe.each(PLATFORMS)('the session of a request on %s', (platform) => {
  let server: ListeningApp;

  const root = (options: object = {}): Type => {
    @Module({
      imports: db.imports(options),
      controllers: [SessionController, ScopedController],
      providers: [Notes, First, Second, Eager, PerRequest, SessionGuard],
    })
    class AppModule {}
    return AppModule;
  };

  beforeAll(async () => {
    server = await listen(root(), platform);
  });

  afterAll(async () => {
    await server[Symbol.asyncDispose]();
  });

  const nothingOpen = async (): Promise<void> => {
    await db.database.untilNoTransaction();
  };

  test('is the same in two services', async () => {
    const { body } = await server.get('/ids');
    const [one, two] = body as string[];
    expect(one).toBe(two);
  });

  test('is another one in the next request, and in a parallel one', async () => {
    const answers = await Promise.all([server.get('/ids'), server.get('/ids'), server.get('/ids')]);
    expect(new Set(answers.map(({ body }) => (body as string[])[0])).size).toBe(3);
  });

  test('is there when guards run', async () => {
    expect(await server.get('/guarded')).toEqual({ status: 200, body: true });
  });

  test('is what REQUEST_DB_SESSION gives to request-scoped classes', async () => {
    const { body } = await server.get('/scoped');
    const [scoped, injected] = body as string[];
    expect(scoped).toBe(injected);
  });

  test('never used sends nothing and opens no connection', async () => {
    const seen = await db.proxy.record(async () => {
      expect(await server.get('/bare')).toEqual({ status: 200, body: 'bare' });
    });
    expect([seen.sql, seen.opened]).toEqual([[], 0]);
  });

  test('committed by hand is answered with its success', async () => {
    expect(await server.post('/committed', { text: 'a' })).toMatchObject({ status: 201 });
    expect(await db.texts()).toEqual(['a']);
  });

  test.each(['/unflushed', '/open', '/redirected'])(
    'left with work that %s is answered 500 and rolled back',
    async (path) => {
      expect(await server.post(path, { text: 'a' })).toMatchObject({ status: 500 });
      await nothingOpen();
      expect(await db.texts()).toEqual([]);
    },
  );

  test('its UncommittedWorkError reaches the exception filters', async () => {
    expect(await server.post('/filtered', { text: 'a' })).toEqual({
      status: 418,
      body: { code: 'UOW_UNCOMMITTED_WORK' },
    });
    expect(await db.texts()).toEqual([]);
  });

  test('of a handler that throws is rolled back, and the answer is that of the error', async () => {
    expect(await server.post('/thrown', { text: 'a' })).toMatchObject({ status: 500 });
    await nothingOpen();
    expect(await db.texts()).toEqual([]);
  });

  test('of a handler whose error a filter answers with a success is rolled back, and the answer is the filter’s', async () => {
    expect(await server.post('/forgiven', { text: 'a' })).toEqual({ status: 200, body: { forgiven: true } });
    await nothingOpen();
    expect(await db.texts()).toEqual([]);
  });

  test('is rolled back after an answer that bypasses Nest', async () => {
    expect(await server.post('/by-hand', { text: 'a' })).toEqual({ status: 201, body: 'sent by hand' });
    await nothingOpen();
    expect(await db.texts()).toEqual([]);
  });

  test('is not the one that the factory opens', async () => {
    expect(await server.post('/own', { text: 'a' })).toMatchObject({ status: 201 });
    expect(await db.texts()).toEqual(['a']);
  });

  describe('whose client goes away', () => {
    const hangUp = async (app: ListeningApp, text: string): Promise<void> => {
      const isIn = new Promise<void>((resolve) => {
        entered = resolve;
      });
      const gone = new Promise<void>((resolve) => {
        const sent = request(`${app.url}/held`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
        });
        sent.on('error', () => undefined);
        sent.on('close', resolve);
        sent.end(JSON.stringify({ text }));
        void isIn.then(() => sent.destroy());
      });
      await gone;
    };

    test('finishes what it has begun, and leaves nothing open', async () => {
      await hangUp(server, 'a');
      release();
      await nothingOpen();
      expect(await db.texts()).toEqual(['a']);
    });

    test('is rolled back under abortOnDisconnect', async () => {
      await using aborting = await listen(root({ abortOnDisconnect: true }), platform);
      await hangUp(aborting, 'a');
      await nothingOpen();
      release();
      expect(await db.texts()).toEqual([]);
    });
  });

  test('ends with the results that nobody subscribed to rolled back', async () => {
    await using patient = await listen(root({ warnAfter: 3_600_000 }), platform);
    expect(await patient.post('/forgotten', { text: 'a' })).toMatchObject({ status: 201 });
    await nothingOpen();
    expect(await db.texts()).toEqual([]);
  });

  test('left with work is only warned about under uncommitted: warn', async () => {
    await using warning = await listen(root({ uncommitted: 'warn' }), platform);
    expect(await warning.post('/open', { text: 'a' })).toMatchObject({ status: 201 });
    await nothingOpen();
    expect(await db.texts()).toEqual([]);
  });

  test('outside every request there is none', () => {
    expect(() => server.app.get(DbSession).id).toThrow(expect.objectContaining({ code: 'UOW_NO_SESSION' }) as Error);
  });
});
