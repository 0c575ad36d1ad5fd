import { Column, Entity, In, Like, ManyToOne, OneToMany, PrimaryColumn, PrimaryGeneratedColumn } from 'typeorm';
import type { DbSession } from '../../libs/uow/src/session/db-session.js';
import { CASE_ENTITIES, EMPTY_ALL, User } from './case-entities.js';
import { SessionUnderTest } from './session-under-test.js';

@Entity('shelves')
class Shelf {
  @PrimaryColumn('text')
  hall!: string;

  @PrimaryColumn('int', { name: 'shelf number' })
  number!: number;

  @OneToMany(() => Book, (book) => book.shelf)
  books!: Book[];
}

@Entity('books')
class Book {
  @PrimaryGeneratedColumn('identity')
  id!: number;

  @Column('text')
  title!: string;

  @ManyToOne(() => Shelf, (shelf) => shelf.books)
  shelf!: Shelf;
}

let env: SessionUnderTest;
let session: DbSession;

beforeAll(async () => {
  env = await SessionUnderTest.start({ entities: [...CASE_ENTITIES, Shelf, Book] });
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  await env.database.query(`${EMPTY_ALL}; TRUNCATE shelves, books RESTART IDENTITY`);
  await env.database.query(`INSERT INTO users (name, age) SELECT 'user ' || n, n % 3 FROM generate_series(1, 9) AS n`);
  // Three addresses each, but for the last user, who has none.
  await env.database.query(
    `INSERT INTO addresses (user_id, email)
     SELECT n, chr(96 + k) || (10 - n) || '@x' FROM generate_series(1, 8) AS n, generate_series(1, 3) AS k`,
  );
  session = env.factory.open();
  env.sent();
});
afterEach(async () => {
  await session.close();
});

const names = (users: readonly User[]): string[] => users.map(({ name }) => name);
const numbers = (users: readonly User[]): number[] => users.map(({ id }) => id);

describe('paging over joins', () => {
  const withAddress = { where: { addresses: { email: Like('%@x') } } };

  test('takes entities, not rows, in one statement that brings the page alone', async () => {
    const page = await session.find(User, { ...withAddress, order: { name: 'DESC' }, skip: 2, take: 3 });
    expect(names(page)).toEqual(['user 6', 'user 5', 'user 4']);
    expect(rowsOfLast()).toBe(9);
    const statements = env.statements();
    expect(statements).toHaveLength(1);
    expect(statements[0]).toContain('LIMIT 3 OFFSET 2');
  });

  test('orders by what is joined: each entity stands where its first row does', async () => {
    const order = { addresses: { email: 'ASC' } } as const;
    expect(numbers(await session.find(User, { ...withAddress, order, take: 4 }))).toEqual([8, 7, 6, 5]);
    expect(numbers(await session.find(User, { ...withAddress, order, skip: 6 }))).toEqual([2, 1]);
  });

  test('goes by the key where nothing else decides', async () => {
    expect(numbers(await session.find(User, { ...withAddress, skip: 5, take: 2 }))).toEqual([6, 7]);
    const byAge = await session.find(User, { ...withAddress, order: { age: 'ASC' }, take: 4 });
    expect(numbers(byAge)).toEqual([3, 6, 1, 4]);
  });

  test('is what a repository gives', async () => {
    const repository = env.dataSource.getRepository(User);
    for (const given of [
      { order: { name: 'DESC' }, skip: 1, take: 2 },
      { order: { age: 'ASC', id: 'DESC' }, take: 5 },
      { order: { id: 'ASC' }, skip: 3 },
      { order: { id: 'ASC' }, take: 0 },
    ] as const) {
      const options = { where: { addresses: { email: In(['a9@x', 'b8@x', 'a8@x', 'c5@x', 'a3@x']) } }, ...given };
      expect(numbers(await session.find(User, options))).toEqual(numbers(await repository.find(options)));
    }
  });

  test('locks the rows of the page alone', async () => {
    await session.begin();
    await session.find(User, { ...withAddress, order: { id: 'ASC' }, take: 2, lock: 'update' });
    const other = env.factory.open();
    const free = await other.find(User, { order: { id: 'ASC' }, lock: 'update', skipLocked: true });
    expect(numbers(free)).toEqual([3, 4, 5, 6, 7, 8, 9]);
    await other.close();
  });

  test('finds one', async () => {
    const user = await session.findOne(User, { ...withAddress, order: { id: 'DESC' } });
    expect(user?.id).toBe(8);
    expect(rowsOfLast()).toBeLessThanOrEqual(3);
  });

  test('knows keys of several columns', async () => {
    await env.database.query(
      `INSERT INTO shelves SELECT h, n FROM unnest(ARRAY['a', 'b']) AS h, generate_series(1, 3) AS n`,
    );
    await env.database.query(
      `INSERT INTO books (title, "shelfHall", "shelfNumber")
       SELECT 'book ' || k, hall, "shelf number" FROM shelves, generate_series(1, 2) AS k`,
    );
    const page = await session.find(Shelf, {
      where: { books: { title: Like('book%') } },
      order: { number: 'DESC' },
      skip: 1,
      take: 3,
    });
    expect(page.map(({ hall, number }) => `${hall}${number}`)).toEqual(['b3', 'a2', 'b2']);
  });

  /** How many rows the last query brought. */
  function rowsOfLast(): number {
    return Number(/=> SELECT (\d+)/.exec(env.proxy.log.at(-1) ?? '')?.[1]);
  }
});
