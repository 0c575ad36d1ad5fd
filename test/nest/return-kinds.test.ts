import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { Injectable } from '@nestjs/common';
import type { INestApplicationContext } from '@nestjs/common';
import { Transactional, TransactionManager } from 'nestjs-uow';
import type { TransactionOptions } from 'nestjs-uow';
import { defer, firstValueFrom, from, lastValueFrom, mergeMap, NEVER, Observable, take, toArray } from 'rxjs';
import { Notes, NotesDatabase } from './notes-app.js';

@Injectable()
class Streams {
  /** How often the method itself was called, and its source subscribed. */
  calls = 0;
  subscriptions = 0;

  constructor(
    private readonly notes: Notes,
    private readonly transactions: TransactionManager,
  ) {}

  @Transactional()
  observe(...texts: string[]): Observable<string> {
    this.calls += 1;
    return defer(() => {
      this.subscriptions += 1;
      return from(texts).pipe(
        mergeMap(async (text) => {
          if (text === 'fail') throw new Error('the stream failed');
          return await this.notes.write(text);
        }, 1),
      );
    });
  }

  /** Fails so that another attempt is worth it, before or after its first value. */
  @Transactional({ retry: { attempts: 3, backoff: 0 } })
  retried(text: string, when: 'before' | 'after'): Observable<string> {
    return defer(async () => {
      this.subscriptions += 1;
      await this.notes.write(`${text} ${this.subscriptions}`);
      if (when === 'before' && this.subscriptions < 3) await this.notes.serializationFailure();
      return text;
    }).pipe(
      mergeMap(async function* (value) {
        yield value;
        await Promise.resolve();
        yield value;
      }),
      mergeMap(async (value, index) => {
        if (when === 'after' && index === 1) await this.notes.serializationFailure();
        return value;
      }, 1),
    );
  }

  /** Begins its work before anybody subscribes. */
  @Transactional()
  eager(text: string): Observable<string> {
    return from(this.notes.write(text));
  }

  @Transactional()
  endless(text: string): Observable<string> {
    return new Observable((subscriber) => {
      void this.notes.write(text).then(() => {
        subscriber.next(text);
      });
    });
  }

  /** Begins its work when it is awaited, as query builders do. */
  @Transactional()
  lazy(text: string): PromiseLike<unknown> {
    return this.lazily(text);
  }

  lazily(text: string): PromiseLike<unknown> {
    const work = async (): Promise<unknown> => {
      const within = this.transactions.current()?.label;
      await this.notes.write(text);
      return within;
    };
    return { then: (resolve, reject) => work().then(resolve, reject) };
  }

  @Transactional({ propagation: 'NESTED' })
  nested(text: string): Observable<string> {
    return defer(() => this.notes.write(text));
  }

  @Transactional()
  async *iterate(...texts: string[]): AsyncGenerator<string> {
    this.calls += 1;
    for (const text of texts) {
      if (text === 'fail') throw new Error('the iteration failed');
      yield await this.notes.write(text);
    }
  }

  @Transactional()
  iterable(...texts: string[]): AsyncIterable<string> {
    this.calls += 1;
    const { notes } = this;
    return {
      async *[Symbol.asyncIterator]() {
        for (const text of texts) yield await notes.write(text);
      },
    };
  }

  @Transactional()
  plainPromise(text: string): Promise<string> {
    return this.notes.write(text);
  }

  @Transactional()
  throwsAtOnce(): Promise<string> {
    throw new Error('at once');
  }

  @Transactional()
  async throwsNoError(): Promise<void> {
    await this.notes.write('gone');

    throw 'just a text';
  }

  /** Calls a transactional method of its own object. */
  @Transactional()
  async fromWithin(): Promise<void> {
    await this.plainPromise('own');
    throw new Error('undo');
  }

  /** Leaves a result without a subscriber. */
  @Transactional()
  async forgets(text: string): Promise<void> {
    this.eager(text);
    await this.notes.write('kept?');
  }

  current(): string | null {
    return this.transactions.current()?.label ?? null;
  }
}

let db: NotesDatabase;
let app: INestApplicationContext;
let streams: Streams;
const warnings: string[] = [];
const listen = (warning: unknown): void => {
  warnings.push((warning as { code: string }).code);
};

beforeAll(async () => {
  db = await NotesDatabase.create();
  app = await db.start([Streams], { warnAfter: 50 });
  streams = app.get(Streams);
  subscribe('nestjs-uow:warning', listen);
});

afterAll(async () => {
  unsubscribe('nestjs-uow:warning', listen);
  await app.close();
  await db[Symbol.asyncDispose]();
});

beforeEach(async () => {
  await db.clear();
  warnings.length = 0;
  streams.calls = 0;
  streams.subscriptions = 0;
});

describe('a promise', () => {
  test('of a method that is not async commits when it is fulfilled', async () => {
    await streams.plainPromise('a');
    expect(await db.texts()).toEqual(['a']);
  });

  test('is what a method gives that throws before it returns', async () => {
    await expect(streams.throwsAtOnce()).rejects.toThrow('at once');
  });

  test('rejected with something that is no error rolls back, and rejects with that very thing', async () => {
    await expect(streams.throwsNoError()).rejects.toBe('just a text');
    expect(await db.texts()).toEqual([]);
  });

  test('that begins its work when it is awaited does so inside the scope', async () => {
    expect(await streams.lazy('a')).toBe('Streams.lazy');
    const run = (text: string, options: TransactionOptions): Promise<unknown> =>
      app.get(TransactionManager).run(options, () => streams.lazily(text) as Promise<unknown>);
    expect(await run('b', {})).toBe('TransactionManager.run()');
    expect(await run('c', { propagation: 'SUPPORTS' })).toBe('TransactionManager.run()');
    expect(await run('d', { signal: new AbortController().signal })).toBe('TransactionManager.run()');
  });

  test('of a method called on the same object belongs to the same transaction', async () => {
    await expect(streams.fromWithin()).rejects.toThrow('undo');
    expect(await db.texts()).toEqual([]);
  });
});

describe('an Observable', () => {
  test('commits when it completes', async () => {
    expect(await lastValueFrom(streams.observe('a', 'b').pipe(toArray()))).toEqual(['a', 'b']);
    expect(await db.texts()).toEqual(['a', 'b']);
  });

  test('completes only after the COMMIT', async () => {
    let seen: string[] = [];
    await new Promise<void>((resolve, reject) => {
      streams.observe('a').subscribe({
        error: reject,
        complete: () => {
          void db.texts().then((texts) => {
            seen = texts;
            resolve();
          }, reject);
        },
      });
    });
    expect(seen).toEqual(['a']);
  });

  test('rolls back on an error, which its subscriber gets', async () => {
    await expect(lastValueFrom(streams.observe('a', 'fail'))).rejects.toThrow('the stream failed');
    expect(await db.texts()).toEqual([]);
  });

  test('rolls back when its subscriber unsubscribes', async () => {
    const seen = await db.proxy.record(async () => {
      expect(await firstValueFrom(streams.endless('a'))).toBe('a');
      await db.database.untilNoTransaction();
    });
    expect(seen.sql.at(-1)).toBe('ROLLBACK');
    expect(await db.texts()).toEqual([]);
  });

  test('rolls back when take() cuts it short', async () => {
    await lastValueFrom(streams.observe('a', 'b', 'c').pipe(take(1)));
    await db.database.untilNoTransaction();
    expect(await db.texts()).toEqual([]);
  });

  test('does not leak its transaction into the operators of its subscriber', async () => {
    const inside: (string | null)[] = [];
    await lastValueFrom(
      streams.observe('a', 'b').pipe(
        mergeMap(async (text) => {
          inside.push(streams.current());
          await Promise.resolve();
          inside.push(streams.current());
          return text;
        }),
      ),
    );
    await new Promise<void>((resolve) => {
      streams.observe('c').subscribe({
        complete: () => {
          inside.push(streams.current());
          resolve();
        },
      });
    });
    expect(inside).toEqual([null, null, null, null, null]);
  });

  test('subscribed twice is two transactions of one call', async () => {
    const result = streams.observe('a');
    await lastValueFrom(result);
    await expect(lastValueFrom(result)).rejects.toMatchObject({ code: '23505' });
    expect([streams.calls, streams.subscriptions]).toEqual([1, 2]);
    expect(await db.texts()).toEqual(['a']);
  });

  test('that began its work before it was subscribed to keeps it in its transaction', async () => {
    const result = streams.eager('a');
    expect(await lastValueFrom(result)).toBe('a');
    expect(await db.texts()).toEqual(['a']);
  });

  test('that began its work and is never subscribed to is rolled back and reported', async () => {
    streams.eager('a');
    await db.database.untilActivity(() => warnings.includes('UOW_WARN_NEVER_SUBSCRIBED'));
    await db.database.untilNoTransaction();
    expect(await db.texts()).toEqual([]);
  });

  test('left without a subscriber inside a transaction does not hold that one up', async () => {
    // Which of the two depends on whether the abandoned work was still in flight.
    await expect(streams.forgets('a')).rejects.toMatchObject({
      code: expect.stringMatching(/^UOW_(UNAWAITED_WORK|UNEXPECTED_ROLLBACK)$/) as string,
    });
    expect(await db.texts()).toEqual([]);
  });

  test('that did nothing before it was subscribed to may be left alone', async () => {
    const seen = await db.proxy.record(async () => {
      streams.observe('a');
      await new Promise((resolve) => setTimeout(resolve, 100));
    });
    expect(seen.sql).toEqual([]);
    expect(warnings).toEqual([]);
  });

  test('is subscribed to again by retry before its first value', async () => {
    expect(await lastValueFrom(streams.retried('a', 'before'))).toBe('a');
    expect(streams.subscriptions).toBe(3);
    expect(await db.texts()).toEqual(['a 3']);
  });

  test('is not subscribed to again by retry after its first value', async () => {
    await expect(lastValueFrom(streams.retried('a', 'after'))).rejects.toMatchObject({ code: '40001' });
    expect(streams.subscriptions).toBe(1);
    expect(await db.texts()).toEqual([]);
  });

  test('joins the transaction in which it is subscribed to', async () => {
    await app
      .get(TransactionManager)
      .run(async () => {
        await lastValueFrom(streams.observe('a'));
        throw new Error('undo');
      })
      .catch(() => undefined);
    expect(await db.texts()).toEqual([]);
  });

  test('of a NESTED method is a savepoint', async () => {
    const seen = await db.proxy.record(() =>
      app.get(TransactionManager).run(async () => {
        await lastValueFrom(streams.nested('a'));
      }),
    );
    expect(seen.sql.filter((sql) => sql.includes('SAVEPOINT'))).toEqual(['SAVEPOINT uow_1', 'RELEASE SAVEPOINT uow_1']);
    expect(await db.texts()).toEqual(['a']);
  });
});

describe('an async iterable', () => {
  test('commits at its end', async () => {
    const got: string[] = [];
    for await (const text of streams.iterate('a', 'b')) got.push(text);
    expect(got).toEqual(['a', 'b']);
    expect(await db.texts()).toEqual(['a', 'b']);
  });

  test('rolls back on an error', async () => {
    await expect(
      (async () => {
        for await (const text of streams.iterate('a', 'fail')) void text;
      })(),
    ).rejects.toThrow('the iteration failed');
    expect(await db.texts()).toEqual([]);
  });

  test('rolls back when its loop is left', async () => {
    for await (const text of streams.iterate('a', 'b')) {
      expect(text).toBe('a');
      break;
    }
    expect(await db.texts()).toEqual([]);
    expect((await db.database.activity()).filter((row) => row.inTransaction)).toEqual([]);
  });

  test('does not leak its transaction into the body of the loop', async () => {
    for await (const text of streams.iterate('a')) {
      expect(streams.current()).toBeNull();
      expect(text).toBe('a');
    }
  });

  test('that is no generator can be iterated again, in a transaction of its own', async () => {
    const result = streams.iterable('a');
    for await (const text of result) expect(text).toBe('a');
    await expect(
      (async () => {
        for await (const text of result) void text;
      })(),
    ).rejects.toMatchObject({ code: '23505' });
    expect(streams.calls).toBe(1);
  });
});

@Transactional()
@Injectable()
class ByClass {
  constructor(private readonly notes: Notes) {}

  async write(text: string): Promise<never> {
    await this.notes.write(text);
    throw new Error('undo');
  }

  observe(text: string): Observable<string> {
    return defer(() => this.notes.write(text)).pipe(mergeMap(() => NEVER));
  }

  plain(): string {
    return 'plain';
  }

  list() {
    return [1, 2];
  }

  throwing() {
    throw new Error('at once');
  }
}

describe('a class that is transactional', () => {
  let byClass: ByClass;
  let own: INestApplicationContext;

  beforeAll(async () => {
    own = await db.start([ByClass]);
    byClass = own.get(ByClass);
  });

  afterAll(async () => {
    await own.close();
  });

  test('covers its asynchronous methods', async () => {
    await expect(byClass.write('a')).rejects.toThrow('undo');
    expect(await db.texts()).toEqual([]);
    byClass.observe('b').subscribe().unsubscribe();
    await db.database.untilNoTransaction();
    expect(await db.texts()).toEqual([]);
  });

  test('leaves results alone that are not asynchronous', () => {
    expect(byClass.plain()).toBe('plain');
    expect(byClass.list()).toEqual([1, 2]);
    expect(() => byClass.throwing()).toThrow('at once');
  });
});
