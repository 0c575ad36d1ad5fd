import { DbSession } from 'nestjs-uow';
import { Author, LibraryApp } from './library-app.js';

/** The session and plain TypeORM code in one unit of work. */
let app: LibraryApp;
let session: DbSession;

beforeAll(async () => {
  app = await LibraryApp.start();
  session = app.context.get(DbSession);
});

afterAll(async () => {
  await app[Symbol.asyncDispose]();
});

beforeEach(async () => {
  await app.clear();
});

const author = (name: string): Author => Object.assign(new Author(), { name });

/** Reads of plain TypeORM code, each counting the authors it sees. */
const READS: Record<string, () => Promise<number>> = {
  'a repository': async () => await app.dataSource.getRepository(Author).count(),
  'an entity manager': async () => (await app.dataSource.manager.find(Author)).length,
  'a query builder': async () => await app.dataSource.createQueryBuilder(Author, 'a').getCount(),
  'dataSource.query': async () => (await app.dataSource.query<unknown[]>('SELECT FROM author')).length,
  'an active record': async () => await Author.count(),
};

describe('inside a transaction', () => {
  test.each(Object.keys(READS))('%s sees what the session has not flushed yet', async (way) => {
    await app.work.undone(async () => {
      session.add(author('Ada'));
      expect(await (READS[way] as () => Promise<number>)()).toBe(1);
    });
  });

  test('a change of a loaded object is flushed before a joined query', async () => {
    await app.dataSource.getRepository(Author).insert({ name: 'Ada' });
    await app.work.inTransaction(async () => {
      const ada = await session.findOneOrFail(Author, { where: { name: 'Ada' } });
      ada.name = 'Ada Lovelace';
      expect(await app.dataSource.getRepository(Author).existsBy({ name: 'Ada Lovelace' })).toBe(true);
    });
  });

  test('a failing flush reaches the joined query that caused it, as the session’s own error', async () => {
    await app.dataSource.getRepository(Author).insert({ name: 'Ada' });
    await app.work.undone(async () => {
      session.add(author('Ada'));
      await expect(app.dataSource.getRepository(Author).count()).rejects.toMatchObject({
        code: 'UOW_UNIQUE_VIOLATION',
      });
    });
  });

  test('repository.save() expires the session’s object of that key', async () => {
    const { id } = await app.dataSource.getRepository(Author).save({ name: 'Ada' });
    await app.work.inTransaction(async () => {
      const ada = await session.getOrFail(Author, id);
      await app.dataSource.getRepository(Author).save({ id, name: 'Ada Lovelace' });
      expect(await session.getOrFail(Author, id)).toBe(ada);
      expect(ada.name).toBe('Ada Lovelace');
    });
  });

  test('repository.save() leaves the session’s other objects as they are', async () => {
    const authors = app.dataSource.getRepository(Author);
    const saved: readonly unknown[] = await authors.save([{ name: 'Ada' }, { name: 'Grace' }]);
    const [ada, grace] = saved as [Author, Author];
    await app.work.inTransaction(async () => {
      await session.getManyOrFail(Author, [ada.id, grace.id]);
      await authors.save({ id: ada.id, name: 'Ada Lovelace' });
      const seen = await app.proxy.record(async () => {
        await session.getOrFail(Author, grace.id);
      });
      expect(seen.sql).toEqual([]);
    });
  });

  test('repository.remove() lets the session’s object go', async () => {
    const authors = app.dataSource.getRepository(Author);
    const { id } = await authors.save({ name: 'Ada' });
    await app.work.inTransaction(async () => {
      await session.getOrFail(Author, id);
      await authors.remove(await authors.findOneByOrFail({ id }));
      expect(await session.get(Author, id)).toBeNull();
    });
  });

  test.each([
    ['repository.update', () => app.dataSource.getRepository(Author).update({ name: 'Ada' }, { name: 'Augusta' })],
    [
      'an update builder',
      () =>
        app.dataSource
          .createQueryBuilder()
          .update(Author)
          .set({ name: 'Augusta' })
          .where('name = :name', { name: 'Ada' })
          .execute(),
    ],
    [
      'repository.save without listeners',
      async () => {
        const authors = app.dataSource.getRepository(Author);
        const ada = await authors.findOneByOrFail({ name: 'Ada' });
        await authors.save(Object.assign(ada, { name: 'Augusta' }), { listeners: false });
      },
    ],
  ])('%s expires the session’s objects of the entity', async (_way, write) => {
    const { id } = await app.dataSource.getRepository(Author).save({ name: 'Ada' });
    await app.work.inTransaction(async () => {
      const ada = await session.getOrFail(Author, id);
      await write();
      expect((await session.getOrFail(Author, id)).name).toBe('Augusta');
      expect(ada.name).toBe('Augusta');
    });
  });

  test('instances that a repository reads are not the session’s', async () => {
    const { id } = await app.dataSource.getRepository(Author).save({ name: 'Ada' });
    await app.work.inTransaction(async () => {
      const tracked = await session.getOrFail(Author, id);
      const read = await app.dataSource.getRepository(Author).findOneByOrFail({ id });
      expect(read).not.toBe(tracked);
      expect(session.has(read)).toBe(false);
    });
  });
});

describe('without a declared transaction', () => {
  const inContext = async (fn: () => Promise<void>): Promise<void> => {
    await app.transactions.runInContext('a job', fn);
  };

  test('what is pending begins a transaction, which the joined query is part of', async () => {
    await inContext(async () => {
      session.add(author('Ada'));
      expect(await app.dataSource.getRepository(Author).count()).toBe(1);
      expect(session.inTransaction).toBe(true);
      await app.dataSource.getRepository(Author).insert({ name: 'Grace' });
      expect(await app.authors()).toEqual([]);
      await session.rollback();
    });
    expect(await app.authors()).toEqual([]);
  });

  test('a repository’s save joins it too, and adds no transaction of its own', async () => {
    const seen = await app.proxy.record(() =>
      inContext(async () => {
        session.add(author('Ada'));
        await app.dataSource.getRepository(Author).save({ name: 'Grace' });
        await session.commit();
      }),
    );
    expect(seen.sql.filter((sql) => /^(BEGIN|START|COMMIT)/.test(sql))).toEqual(['BEGIN', 'COMMIT']);
    expect(await app.authors()).toEqual(['Ada', 'Grace']);
  });

  test('where nothing is pending TypeORM works on its own', async () => {
    await inContext(async () => {
      await session.find(Author);
      await app.dataSource.getRepository(Author).save({ name: 'Ada' });
      expect(await app.authors()).toEqual(['Ada']);
      expect(session.inTransaction).toBe(false);
    });
  });
});
