import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { Injectable, Module } from '@nestjs/common';
import type { INestApplicationContext, Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventEmitter2, EventEmitterModule, OnEvent } from '@nestjs/event-emitter';
import { Transactional, TransactionalEventListener, TransactionManager } from 'nestjs-uow';
import { Notes, NotesDatabase } from './notes-app.js';

interface Heard {
  readonly by: string;
  readonly transaction: string | null;
  readonly stored: number;
}

@Injectable()
class Listeners {
  readonly heard: Heard[] = [];
  failIn: string | null = null;

  constructor(
    private readonly notes: Notes,
    private readonly transactions: TransactionManager,
  ) {}

  async #note(by: string): Promise<void> {
    const stored = (await db.texts()).length;
    this.heard.push({ by, transaction: this.transactions.current()?.label ?? null, stored });
    if (this.failIn === by) throw new Error(`${by} failed`);
  }

  @OnEvent('note')
  async plain(): Promise<void> {
    await this.#note('at once');
  }

  @TransactionalEventListener('note', { phase: 'BEFORE_COMMIT' })
  async beforeCommit(): Promise<void> {
    await this.#note('before commit');
  }

  @TransactionalEventListener('note')
  async afterCommit(): Promise<void> {
    await this.#note('after commit');
  }

  @TransactionalEventListener('note', { phase: 'AFTER_ROLLBACK' })
  async afterRollback(): Promise<void> {
    await this.#note('after rollback');
  }

  @TransactionalEventListener('note', { phase: 'AFTER_COMPLETION' })
  async afterCompletion(): Promise<void> {
    await this.#note('after completion');
  }

  @TransactionalEventListener('eager', { fallbackExecution: true })
  async eager(): Promise<void> {
    await this.#note('eager');
  }

  @TransactionalEventListener('odd', { condition: (value: number) => value % 2 === 1 })
  async odd(value: number): Promise<void> {
    await this.#note(`odd ${value}`);
  }

  @TransactionalEventListener('own')
  @Transactional({ propagation: 'REQUIRES_NEW' })
  async below(): Promise<void> {
    await this.notes.write('by a listener, below');
    await this.#note('below');
  }

  @Transactional({ propagation: 'REQUIRES_NEW' })
  @TransactionalEventListener('own')
  async above(): Promise<void> {
    await this.notes.write('by a listener, above');
    await this.#note('above');
  }
}

let db: NotesDatabase;
let app: INestApplicationContext;
let listeners: Listeners;
let manager: TransactionManager;
const warnings: string[] = [];
const listen = (warning: unknown): void => {
  warnings.push((warning as { code: string }).code);
};

const start = async (...providers: Type[]): Promise<INestApplicationContext> => {
  @Module({ imports: [...db.imports(), EventEmitterModule.forRoot()], providers: [Notes, ...providers] })
  class AppModule {}
  return await NestFactory.createApplicationContext(AppModule, { logger: false, abortOnError: false });
};

beforeAll(async () => {
  db = await NotesDatabase.create();
  app = await start(Listeners);
  listeners = app.get(Listeners);
  manager = app.get(TransactionManager);
  subscribe('nestjs-uow:warning', listen);
});

afterAll(async () => {
  unsubscribe('nestjs-uow:warning', listen);
  await app.close();
  await db[Symbol.asyncDispose]();
});

beforeEach(async () => {
  await db.clear();
  listeners.heard.length = 0;
  listeners.failIn = null;
  warnings.length = 0;
});

const emitIn = async (event: string, outcome: 'return' | 'throw' = 'return', ...payload: unknown[]): Promise<void> => {
  await manager.run({ label: 'the publisher' }, async () => {
    await app.get(Notes).write('published');
    await app.get(EventEmitter2).emitAsync(event, ...payload);
    if (outcome === 'throw') throw new Error('undo');
  });
};

const heardBy = (): string[] => listeners.heard.map(({ by }) => by);

test('each phase is heard in its turn when the transaction commits', async () => {
  await emitIn('note');
  expect(listeners.heard).toEqual([
    { by: 'at once', transaction: 'the publisher', stored: 0 },
    { by: 'before commit', transaction: 'the publisher', stored: 0 },
    { by: 'after commit', transaction: null, stored: 1 },
    { by: 'after completion', transaction: null, stored: 1 },
  ]);
});

test('a rollback is heard of by those who listen for it', async () => {
  await expect(emitIn('note', 'throw')).rejects.toThrow('undo');
  expect(heardBy()).toEqual(['at once', 'after rollback', 'after completion']);
});

test('what a BEFORE_COMMIT listener throws rolls back', async () => {
  listeners.failIn = 'before commit';
  await expect(emitIn('note')).rejects.toThrow('before commit failed');
  expect(await db.texts()).toEqual([]);
  expect(heardBy()).toContain('after rollback');
});

test('what an AFTER_COMMIT listener throws is reported, and nothing else', async () => {
  listeners.failIn = 'after commit';
  await emitIn('note');
  expect(await db.texts()).toEqual(['published']);
  expect(warnings).toEqual(['UOW_WARN_HOOK_FAILED']);
  expect(heardBy()).toContain('after completion');
});

test('without a transaction an event is dropped with a warning', async () => {
  await app.get(EventEmitter2).emitAsync('note');
  expect(heardBy()).toEqual(['at once']);
  expect(new Set(warnings)).toEqual(new Set(['UOW_WARN_EVENT_WITHOUT_TRANSACTION']));
});

test('fallbackExecution hears of it at once', async () => {
  await app.get(EventEmitter2).emitAsync('eager');
  expect(heardBy()).toEqual(['eager']);
});

test.each(['NOT_SUPPORTED', 'SUPPORTS'] as const)(
  'in a scope of %s without a transaction it is dropped',
  async (propagation) => {
    await manager.run({ propagation }, async () => {
      await app.get(EventEmitter2).emitAsync('note');
    });
    expect(heardBy()).toEqual(['at once']);
  },
);

test('in a SUPPORTS scope that joined a transaction it is heard', async () => {
  await manager.run(async () => {
    await manager.run({ propagation: 'SUPPORTS' }, async () => {
      await app.get(EventEmitter2).emitAsync('note');
    });
  });
  expect(heardBy()).toContain('after commit');
});

test('a condition that is false drops it in silence', async () => {
  await emitIn('odd', 'return', 2);
  await emitIn('odd', 'return', 3).catch(() => undefined);
  expect(heardBy()).toEqual([]);
  await db.clear();
  await emitIn('odd', 'return', 3);
  expect(heardBy()).toEqual(['odd 3']);
});

test('a listener with a transaction of its own writes in it, in either order of the decorators', async () => {
  await emitIn('own');
  expect(await db.texts()).toEqual(['published', 'by a listener, below', 'by a listener, above']);
});

test('calling the method itself runs it at once', async () => {
  await listeners.afterCommit();
  expect(heardBy()).toEqual(['after commit']);
});

test('a listener after the transaction that would join it is an error at start', async () => {
  @Injectable()
  class Wrong {
    @Transactional()
    @TransactionalEventListener('note')
    async tooLate(): Promise<void> {}
  }
  await expect(start(Wrong)).rejects.toThrow(/Wrong\.tooLate .*REQUIRES_NEW/s);
});
