import { Author, Book, LibraryApp, Shelf } from './library-app.js';

let app: LibraryApp;

beforeAll(async () => {
  app = await LibraryApp.start();
});

afterAll(async () => {
  await app[Symbol.asyncDispose]();
});

beforeEach(async () => {
  await app.clear();
});

/** Every way that TypeORM has of writing an author. */
const WRITES: Record<string, (name: string) => Promise<unknown>> = {
  'repository.save': (name) => app.dataSource.getRepository(Author).save({ name }),
  'repository.insert': (name) => app.dataSource.getRepository(Author).insert({ name }),
  'repository.upsert': (name) => app.dataSource.getRepository(Author).upsert({ name }, ['name']),
  'manager.save': (name) => app.dataSource.manager.save(Author, { name }),
  'manager.insert': (name) => app.dataSource.manager.insert(Author, { name }),
  'manager.query': (name) => app.dataSource.manager.query('INSERT INTO author (name) VALUES ($1)', [name]),
  'manager.createQueryBuilder': (name) =>
    app.dataSource.manager.createQueryBuilder().insert().into(Author).values({ name }).execute(),
  'dataSource.query': (name) => app.dataSource.query('INSERT INTO author (name) VALUES ($1)', [name]),
  'dataSource.createQueryBuilder': (name) =>
    app.dataSource.createQueryBuilder().insert().into(Author).values({ name }).execute(),
  'dataSource.transaction': (name) =>
    app.dataSource.transaction(async (manager) => await manager.save(Author, { name })),
  'manager.transaction': (name) =>
    app.dataSource.manager.transaction(async (manager) => await manager.insert(Author, { name })),
  'an active record': async (name) => {
    const author = new Author();
    author.name = name;
    await author.save();
  },
  'a static of an active record': (name) => Author.insert({ name }),
  'a repository extended by extend()': (name) =>
    app.dataSource
      .getRepository(Author)
      .extend({
        async write(this: { save(author: object): Promise<unknown> }, given: string) {
          await this.save({ name: given });
        },
      })
      .write(name),
  'a manager of one’s own': (name) => app.dataSource.createEntityManager().save(Author, { name }),
};

describe('inside a declared transaction', () => {
  test.each(Object.keys(WRITES))('%s is rolled back with it', async (way) => {
    await app.work.undone(() => (WRITES[way] as (name: string) => Promise<unknown>)('Ada'));
    expect(await app.authors()).toEqual([]);
  });

  test.each(Object.keys(WRITES))('%s is committed with it', async (way) => {
    await app.work.inTransaction(() => (WRITES[way] as (name: string) => Promise<unknown>)('Ada'));
    expect(await app.authors()).toEqual(['Ada']);
  });

  test.each(Object.keys(WRITES))('%s is seen by nobody else before the commit', async (way) => {
    await app.work.inTransaction(async () => {
      await (WRITES[way] as (name: string) => Promise<unknown>)('Ada');
      expect(await app.authors()).toEqual([]);
    });
  });

  test('everything goes over one connection, between one BEGIN and one COMMIT', async () => {
    const seen = await app.proxy.record(() =>
      app.work.inTransaction(async () => {
        for (const [index, write] of Object.values(WRITES).entries()) await write(`author ${index}`);
      }),
    );
    expect(seen.transcripts).toHaveLength(1);
    expect(seen.sql.filter((sql) => /^(BEGIN|START|COMMIT|ROLLBACK)\b/.test(sql))).toEqual(['BEGIN', 'COMMIT']);
  });

  test('what a subscriber writes with the manager of its event is part of it', async () => {
    await app.work.undone(() => app.dataSource.getRepository(Author).save({ name: 'Ada' }));
    expect(await app.database.query('SELECT text FROM trace')).toEqual([]);
    await app.work.inTransaction(() => app.dataSource.getRepository(Author).save({ name: 'Ada' }));
    expect(await app.database.query('SELECT text FROM trace')).toEqual([{ text: 'new author Ada' }]);
  });

  test('reads see what it wrote', async () => {
    await app.work.inTransaction(async () => {
      const authors = app.dataSource.getRepository(Author);
      await authors.save({ name: 'Ada' });
      expect(await authors.findOneByOrFail({ name: 'Ada' })).toMatchObject({ name: 'Ada' });
      expect(await authors.count()).toBe(1);
      expect(await Author.existsBy({ name: 'Ada' })).toBe(true);
      expect(await app.dataSource.query('SELECT name FROM author')).toEqual([{ name: 'Ada' }]);
    });
  });

  test('a lazy relation is loaded in the transaction in which it is asked for', async () => {
    await app.work.undone(async () => {
      const author = await app.dataSource.getRepository(Author).save({ name: 'Ada' });
      const books = app.dataSource.getRepository(Book);
      await app.dataSource.query('INSERT INTO book (title, "authorId") VALUES ($1, $2)', ['Notes', author.id]);
      const book = await books.findOneByOrFail({ title: 'Notes' });
      expect(await book.author).toMatchObject({ name: 'Ada' });
    });
  });

  test('an entity that it loaded can load its lazy relation after it', async () => {
    const author = await app.dataSource.getRepository(Author).save({ name: 'Ada' });
    await app.dataSource.query('INSERT INTO book (title, "authorId") VALUES ($1, $2)', ['Notes', author.id]);
    const loaded = await app.work.inTransaction(() =>
      app.dataSource.getRepository(Author).findOneByOrFail({ name: 'Ada' }),
    );
    expect(await loaded.books).toHaveLength(1);
  });

  test('a tree repository joins', async () => {
    const shelves = app.dataSource.getTreeRepository(Shelf);
    await app.work.undone(async () => {
      const root = await shelves.save({ name: 'root' });
      await shelves.save({ name: 'leaf', parent: root });
      const [tree] = await shelves.findTrees();
      expect(tree?.children.map(({ name }) => name)).toEqual(['leaf']);
      expect(await shelves.countDescendants(root)).toBe(2);
    });
    expect(await shelves.count()).toBe(0);
  });

  test('withRepository() of the manager that transaction() gives joins', async () => {
    const custom = app.dataSource.getRepository(Author).extend({
      async named(this: { findOneBy(where: object): Promise<Author | null> }, name: string) {
        return await this.findOneBy({ name });
      },
    });
    await app.work.undone(async () => {
      await app.dataSource.transaction(async (manager) => {
        await manager.save(Author, { name: 'Ada' });
        expect(await manager.withRepository(custom).named('Ada')).not.toBeNull();
      });
    });
    expect(await custom.named('Ada')).toBeNull();
  });

  test('a repository first obtained inside does not keep the transaction', async () => {
    const repository = await app.work.inTransaction(async () => {
      const shelves = app.dataSource.getRepository(Shelf);
      await shelves.save({ name: 'first' });
      return shelves;
    });
    await repository.save({ name: 'second' });
    expect(await repository.count()).toBe(2);
  });

  test('a builder made before it joins when it runs inside', async () => {
    const builder = app.dataSource.createQueryBuilder().insert().into(Author).values({ name: 'Ada' });
    await app.work.undone(() => builder.execute());
    expect(await app.authors()).toEqual([]);
  });

  test('a builder made inside runs on its own after it', async () => {
    let builder = app.dataSource.createQueryBuilder(Author, 'author');
    await app.work.inTransaction(async () => {
      builder = app.dataSource.createQueryBuilder(Author, 'author');
      await builder.getCount();
    });
    expect(await builder.getCount()).toBe(0);
  });

  test('a locking read is possible, since a transaction is open', async () => {
    await app.dataSource.getRepository(Author).save({ name: 'Ada' });
    await app.work.inTransaction(async () => {
      const locked = await app.dataSource
        .getRepository(Author)
        .findOne({ where: { name: 'Ada' }, lock: { mode: 'pessimistic_write' } });
      expect(locked).toMatchObject({ name: 'Ada' });
    });
  });

  test('streams rows on its own connection', async () => {
    await app.work.inTransaction(async () => {
      await app.dataSource.getRepository(Author).insert([{ name: 'Ada' }, { name: 'Grace' }]);
      const stream = await app.dataSource.createQueryBuilder(Author, 'author').orderBy('author.name').stream();
      const names: string[] = [];
      for await (const row of stream) names.push((row as { author_name: string }).author_name);
      expect(names).toEqual(['Ada', 'Grace']);
    });
  });

  test('a text of several statements runs', async () => {
    await app.work.undone(async () => {
      await app.dataSource.query(
        `INSERT INTO author (name) VALUES ('Ada'); INSERT INTO author (name) VALUES ('Grace')`,
      );
      expect(await app.dataSource.getRepository(Author).count()).toBe(2);
    });
    expect(await app.authors()).toEqual([]);
  });

  test('createQueryRunner() is the way out: its own connection, its own transaction', async () => {
    await app.work.undone(async () => {
      const runner = app.dataSource.createQueryRunner();
      await runner.startTransaction();
      await runner.manager.save(Author, { name: 'Ada' });
      await runner.commitTransaction();
      await runner.release();
    });
    expect(await app.authors()).toEqual(['Ada']);
  });

  test('the way out is found through a repository too', async () => {
    await app.work.undone(async () => {
      const runner = app.dataSource.getRepository(Author).manager.dataSource.createQueryRunner();
      await runner.manager.save(Author, { name: 'Ada' });
      await runner.release();
    });
    expect(await app.authors()).toEqual(['Ada']);
  });
});

describe('outside every transaction', () => {
  test.each(Object.keys(WRITES))('%s works as TypeORM alone does', async (way) => {
    await (WRITES[way] as (name: string) => Promise<unknown>)('Ada');
    expect(await app.authors()).toEqual(['Ada']);
  });

  test('NOT_SUPPORTED lets TypeORM work on its own', async () => {
    await app.work.undone(() => app.work.without(() => app.dataSource.getRepository(Author).save({ name: 'Ada' })));
    expect(await app.authors()).toEqual(['Ada']);
  });

  test('no connection stays behind', async () => {
    for (const write of Object.values(WRITES)) await write(`author ${Math.random()}`);
    const rows = await app.database.activity();
    expect(rows.filter((row) => row.inTransaction)).toEqual([]);
  });
});

describe('errors of joined code', () => {
  test('are TypeORM’s own', async () => {
    await app.dataSource.getRepository(Author).insert({ name: 'Ada' });
    await expect(
      app.work.inTransaction(() => app.dataSource.getRepository(Author).insert({ name: 'Ada' })),
    ).rejects.toMatchObject({
      name: 'QueryFailedError',
      code: '23505',
      driverError: { constraint: expect.any(String) as string },
    });
  });

  test('swallowed, do not end in a success: the scope throws with the very error as cause', async () => {
    await app.dataSource.getRepository(Author).insert({ name: 'Ada' });
    let swallowed: unknown;
    const outcome = app.work.inTransaction(async () => {
      await app.dataSource.getRepository(Author).insert({ name: 'Grace' });
      await app.dataSource
        .getRepository(Author)
        .insert({ name: 'Ada' })
        .catch((error: unknown) => {
          swallowed = error;
        });
      return 'done';
    });
    const error: unknown = await outcome.catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'UOW_TRANSACTION_ROLLED_BACK' });
    expect((error as Error).cause).toBe(swallowed);
    expect(await app.authors()).toEqual(['Ada']);
  });

  test('25P02 is never shown without the first failure as its cause', async () => {
    await app.dataSource.getRepository(Author).insert({ name: 'Ada' });
    await app.work.undone(async () => {
      const authors = app.dataSource.getRepository(Author);
      const first: unknown = await authors.insert({ name: 'Ada' }).catch((error: unknown) => error);
      const second: unknown = await authors.count().catch((error: unknown) => error);
      expect(second).toMatchObject({ name: 'QueryFailedError', code: '25P02' });
      expect((second as Error).cause).toBe(first);
    });
  });

  test('a failure inside a nested scope is undone with it', async () => {
    await app.dataSource.getRepository(Author).insert({ name: 'Ada' });
    await app.work.inTransaction(async () => {
      const authors = app.dataSource.getRepository(Author);
      await authors.insert({ name: 'Grace' });
      await app.work.nested(() => authors.insert({ name: 'Ada' })).catch(() => undefined);
      await authors.insert({ name: 'Edsger' });
    });
    expect(await app.authors()).toEqual(['Ada', 'Edsger', 'Grace']);
  });

  test('work that comes after the end is refused, and reaches no connection', async () => {
    let late: Promise<unknown> = Promise.resolve();
    let go: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      go = resolve;
    });
    await app.work.inTransaction(async () => {
      await app.dataSource.getRepository(Author).insert({ name: 'Grace' });
      late = gate.then(() => app.dataSource.getRepository(Author).insert({ name: 'Ada' }));
    });
    const seen = await app.proxy.record(async () => {
      go();
      await expect(late).rejects.toMatchObject({ code: 'UOW_TRANSACTION_CLOSED' });
    });
    expect(seen.sql).toEqual([]);
    expect(await app.authors()).toEqual(['Grace']);
  });
});
