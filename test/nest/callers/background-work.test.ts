import { Injectable, Module } from '@nestjs/common';
import type { INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { CommandBus, CommandHandler, CqrsModule, EventBus, EventsHandler, QueryBus, QueryHandler } from '@nestjs/cqrs';
import type { ICommandHandler, IEventHandler, IQueryHandler } from '@nestjs/cqrs';
import { EventEmitter2, EventEmitterModule, OnEvent } from '@nestjs/event-emitter';
import { Cron, Interval, ScheduleModule, SchedulerRegistry } from '@nestjs/schedule';
import { DbSession, Transactional, TransactionManager } from 'nestjs-uow';
import { Note, Notes, NotesDatabase } from '../notes-app.js';

@Injectable()
class NightlyJobs {
  readonly #written = new Set<string>();

  constructor(
    private readonly notes: Notes,
    private readonly transactions: TransactionManager,
  ) {}

  @Cron('* * * * * *', { name: 'every second' })
  @Transactional()
  async cron(): Promise<void> {
    await this.#writeOnce();
  }

  @Transactional()
  @Interval('often', 150)
  async interval(): Promise<void> {
    await this.#writeOnce();
  }

  async #writeOnce(): Promise<void> {
    const label = this.label();
    if (this.#written.has(label)) return;
    this.#written.add(label);
    await this.notes.write(label);
  }

  label(): string {
    return this.transactions.current()?.label ?? 'none';
  }
}

@Injectable()
class Listeners {
  constructor(private readonly notes: Notes) {}

  @OnEvent('note.asked')
  @Transactional()
  async asked(text: string): Promise<void> {
    await this.notes.write(text);
    if (text === 'fail') throw new Error('undo');
  }
}

class WriteNote {
  constructor(readonly text: string) {}
}
class NoteWritten {
  constructor(readonly text: string) {}
}
class CountNotes {}

@CommandHandler(WriteNote)
class WriteNoteHandler implements ICommandHandler<WriteNote> {
  constructor(
    private readonly session: DbSession,
    private readonly events: EventBus,
    private readonly transactions: TransactionManager,
  ) {}

  @Transactional()
  async execute({ text }: WriteNote): Promise<number> {
    const note = Object.assign(new Note(), { text });
    this.session.add(note);
    await this.session.flush();
    if (text === 'fail') throw new Error('undo');
    // The bus does not wait for its handlers; they begin when there is something to hear of.
    this.transactions.afterCommit(() => {
      this.events.publish(new NoteWritten(text));
    });
    return note.id;
  }
}

@EventsHandler(NoteWritten)
class NoteWrittenHandler implements IEventHandler<NoteWritten> {
  constructor(private readonly notes: Notes) {}

  @Transactional()
  async handle({ text }: NoteWritten): Promise<void> {
    await this.notes.write(`heard of ${text}`);
  }
}

@QueryHandler(CountNotes)
class CountNotesHandler implements IQueryHandler<CountNotes> {
  constructor(private readonly notes: Notes) {}

  @Transactional({ readOnly: true })
  async execute(): Promise<number> {
    return await this.notes.count();
  }
}

/** Takes jobs as a queue's worker does: a plain function that some library calls. */
@Injectable()
class Worker {
  constructor(
    private readonly session: DbSession,
    private readonly transactions: TransactionManager,
  ) {}

  async process(job: { id: string; text: string }): Promise<string> {
    return await this.transactions.runInContext(`job ${job.id}`, async () => {
      this.session.add(Object.assign(new Note(), { text: job.text }));
      if (job.text === 'fail') throw new Error('undo');
      await this.session.commit();
      return this.session.id;
    });
  }
}

let db: NotesDatabase;
let app: INestApplicationContext;

beforeAll(async () => {
  db = await NotesDatabase.create();
  @Module({
    imports: [...db.imports(), ScheduleModule.forRoot(), EventEmitterModule.forRoot(), CqrsModule.forRoot()],
    providers: [Notes, NightlyJobs, Listeners, WriteNoteHandler, NoteWrittenHandler, CountNotesHandler, Worker],
  })
  class AppModule {}
  app = await NestFactory.createApplicationContext(AppModule, { logger: false });
  await app.init();
});

afterAll(async () => {
  await app.close();
  await db[Symbol.asyncDispose]();
});

describe('@nestjs/schedule', () => {
  test('cron jobs and intervals have their transactions', async () => {
    await db.until((texts) => ['NightlyJobs.cron', 'NightlyJobs.interval'].every((label) => texts.includes(label)));
    const registry = app.get(SchedulerRegistry);
    registry.deleteInterval('often');
    registry.deleteCronJob('every second');
    await db.database.untilNoTransaction();
  });
});

describe('outside a server', () => {
  beforeEach(async () => {
    await db.database.untilNoTransaction();
    await db.clear();
  });

  test('a listener of @nestjs/event-emitter has its transaction', async () => {
    await app.get(EventEmitter2).emitAsync('note.asked', 'a');
    expect(await db.texts()).toEqual(['a']);
  });

  test('a command handler of @nestjs/cqrs commits, and its event handler has a transaction of its own', async () => {
    await app.get(CommandBus).execute(new WriteNote('a'));
    await db.until((texts) => texts.includes('heard of a'));
    expect((await db.texts()).sort()).toEqual(['a', 'heard of a']);
  });

  test('a command handler that throws is rolled back', async () => {
    await expect(app.get(CommandBus).execute(new WriteNote('fail'))).rejects.toThrow('undo');
    expect(await db.texts()).toEqual([]);
  });

  test('a query handler of @nestjs/cqrs reads in its transaction', async () => {
    const seen = await db.proxy.record(async () => {
      expect(await app.get(QueryBus).execute(new CountNotes())).toBe(0);
    });
    expect(seen.sql).toContain('BEGIN READ ONLY');
  });

  test('a worker’s jobs have each a session', async () => {
    const worker = app.get(Worker);
    const ids = await Promise.all([worker.process({ id: '1', text: 'a' }), worker.process({ id: '2', text: 'b' })]);
    expect(ids[0]).not.toBe(ids[1]);
    await expect(worker.process({ id: '3', text: 'fail' })).rejects.toThrow('undo');
    expect((await db.texts()).sort()).toEqual(['a', 'b']);
  });

  test('a plain script uses TransactionManager.run()', async () => {
    const manager = app.get(TransactionManager);
    await manager.run({ label: 'a script' }, async () => {
      await app.get(Notes).write('a');
    });
    expect(await db.texts()).toEqual(['a']);
  });

  test('background work that is detached has no session and no transaction', async () => {
    const manager = app.get(TransactionManager);
    let background: Promise<unknown> = Promise.resolve();
    await manager
      .run(async () => {
        await app.get(Notes).write('gone');
        background = manager.detach(async () => {
          expect(manager.current()).toBeNull();
          expect(() => app.get(DbSession).id).toThrow(/outside/);
          await app.get(Notes).write('kept');
        });
        throw new Error('undo');
      })
      .catch(() => undefined);
    await background;
    expect(await db.texts()).toEqual(['kept']);
  });
});
