import {
  ChildEntity,
  Column,
  Entity,
  In,
  Like,
  ManyToOne,
  OneToMany,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  TableInheritance,
} from 'typeorm';
import type { DbSession } from '../../libs/uow/src/session/db-session.js';
import { Address, CASE_ENTITIES, EMPTY_ALL, User } from './case-entities.js';
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

@Entity('vehicles')
@TableInheritance({ column: { type: 'text', name: 'kind' } })
class Vehicle {
  @PrimaryColumn('int')
  id!: number;

  @Column('text')
  name!: string;

  @Column('text')
  colour!: string;
}

@ChildEntity()
class Car extends Vehicle {
  @Column('int', { nullable: true })
  doors!: number | null;
}

let env: SessionUnderTest;
let session: DbSession;

beforeAll(async () => {
  env = await SessionUnderTest.start({ entities: [...CASE_ENTITIES, Shelf, Book, Vehicle, Car] });
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  await env.database.query(`${EMPTY_ALL}; TRUNCATE shelves, books, vehicles RESTART IDENTITY`);
  await env.database.query(`INSERT INTO users (name, age) SELECT 'user ' || n, n % 3 FROM generate_series(1, 9) AS n`);
  // Three addresses each, but for the last user, who has none.
  await env.database.query(
    `INSERT INTO addresses (user_id, email)
     SELECT n, chr(96 + k) || (10 - n) || '@x' FROM generate_series(1, 8) AS n, generate_series(1, 3) AS k ORDER BY n, k`,
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

describe('selecting', () => {
  test('inside relations reads those columns alone, and leaves the others as they are', async () => {
    const user = await session.findOneOrFail(User, {
      where: { id: 1 },
      select: { id: true, name: true, addresses: { email: true } },
      relations: { addresses: true },
    });
    const statements = env.statements();
    expect(statements[0]).not.toContain('"age"');
    expect(statements[1]).toMatch(/^SELECT t\."email", t\."id", t\."user_id" FROM/);
    expect(user.age).toBeUndefined();
    user.name = 'changed';
    user.addresses[0]!.email = 'changed@x';
    await session.commit();
    expect(await env.database.query('SELECT name, age FROM users WHERE id = 1')).toEqual([{ name: 'changed', age: 1 }]);
    expect(await env.database.query('SELECT user_id, email FROM addresses ORDER BY id LIMIT 2')).toEqual([
      { user_id: 1, email: 'changed@x' },
      { user_id: 1, email: 'b9@x' },
    ]);
  });

  test('is what a repository gives', async () => {
    for (const options of [
      { select: { id: true, addresses: { id: true, email: true } }, relations: { addresses: true } },
      { select: { id: true, name: true }, relations: { addresses: true } },
      {
        select: { id: true, addresses: { id: true, user: { id: true, name: true } } },
        relations: { addresses: { user: true } },
      },
      { select: { id: true, addresses: { id: true } } },
    ] as const) {
      const where = { id: In([1, 2]) };
      const order = { id: 'ASC', addresses: { id: 'ASC' } } as const;
      const given = await env.dataSource.getRepository(User).find({ ...options, where, order });
      const own = await env.factory.open().find(User, { ...options, where, order: { id: 'ASC' } });
      expect(own).toHaveLength(2);
      // Both ends of a relation are one object here, so only what the repository gives is looked for.
      expect(own).toMatchObject(given.map((user) => plain(user)));
      expect(own.map(({ addresses }) => typeof addresses)).toEqual(given.map(({ addresses }) => typeof addresses));
    }
  });

  test('a relation that goes on below knows its foreign keys', async () => {
    const user = await session.findOneOrFail(User, {
      where: { id: 3 },
      select: { name: true, addresses: { email: true, user: { age: true } } },
      relations: { addresses: { user: true } },
    });
    expect(user.addresses).toHaveLength(3);
    expect(user.addresses.map((address) => address.user)).toEqual([user, user, user]);
  });

  test('a relation to one is found although its foreign key was not selected', async () => {
    const address = await session.findOneOrFail(Address, {
      where: { id: 4 },
      select: { email: true },
      relations: { user: true },
    });
    expect(address.user?.id).toBe(2);
  });

  test('keeps the class of the row', async () => {
    await env.database.query(`INSERT INTO vehicles (id, name, colour, kind, doors) VALUES (1, 'a', 'red', 'Car', 4)`);
    const vehicle = await session.findOneOrFail(Vehicle, { where: { id: 1 }, select: { name: true } });
    expect(vehicle).toBeInstanceOf(Car);
    expect(vehicle.colour).toBeUndefined();
  });

  describe('what was not selected', () => {
    let user: User;
    beforeEach(async () => {
      user = await session.findOneOrFail(User, { where: { id: 1 }, select: { name: true } });
      await env.database.query(`UPDATE users SET name = 'from the database' WHERE id = 1`);
      env.sent();
    });

    test('is read by get, which leaves what was loaded', async () => {
      expect(await session.get(User, 1)).toBe(user);
      expect([user.name, user.age]).toEqual(['user 1', 1]);
      expect(session.dirty).toEqual([]);
      await session.get(User, 1);
      expect(env.statements()).toHaveLength(1);
    });

    test('is read by a query that brings it, beside changes', async () => {
      user.name = 'changed';
      await session.noAutoflush(() => session.find(User));
      expect([user.name, user.age]).toEqual(['changed', 1]);
    });

    test('stays unread by a query that does not bring it', async () => {
      await session.find(User, { select: { name: true } });
      expect([user.name, user.age]).toEqual(['user 1', undefined]);
      await session.getOrFail(User, 1);
      expect(user.age).toBe(1);
    });

    test('is read through a relation', async () => {
      const address = await session.findOneOrFail(Address, { where: { id: 1 }, relations: { user: true } });
      expect(address.user).toBe(user);
      expect(user.age).toBe(1);
    });

    test('may be set, and is written', async () => {
      user.age = 50;
      await session.commit();
      expect(await env.database.query('SELECT name, age FROM users WHERE id = 1')).toEqual([
        { name: 'from the database', age: 50 },
      ]);
    });
  });

  test('some of a row that is expired leaves the rest expired', async () => {
    const user = await session.getOrFail(User, 1);
    session.expire(user);
    await env.database.query(`UPDATE users SET name = 'new name', age = 77 WHERE id = 1`);
    await session.find(User, { where: { id: 1 }, select: { name: true } });
    expect([user.name, user.age]).toEqual(['new name', 1]);
    await session.get(User, 1);
    expect(user.age).toBe(77);
  });

  test('some of a row under a lock does not vouch for the rest', async () => {
    const user = await session.getOrFail(User, 1);
    await env.database.query('UPDATE users SET age = 77 WHERE id = 1');
    await session.find(User, { where: { id: 1 }, select: { name: true }, lock: 'update' });
    user.age = (user.age ?? 0) + 1;
    await expect(session.commit()).rejects.toMatchObject({ code: 'UOW_STALE_DATA' });
  });
});

function plain(value: object): object {
  return JSON.parse(JSON.stringify(value)) as object;
}
