import {
  Column,
  DeleteDateColumn,
  Entity,
  JoinColumn,
  JoinTable,
  ManyToMany,
  ManyToOne,
  OneToMany,
  OneToOne,
  PrimaryColumn,
  PrimaryGeneratedColumn,
} from 'typeorm';
import { SessionUnderTest } from './session-under-test.js';

/** What relations mean in TypeORM, with every option that they have: a test for each. */

@Entity()
class Author {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column('text')
  name!: string;

  @Column('text', { unique: true, nullable: true })
  penName!: string | null;

  @OneToMany(() => Book, (book) => book.author)
  books!: Promise<Book[]>;

  @OneToOne(() => Biography, (biography) => biography.author)
  biography!: Biography | null;
}

@Entity()
class Biography {
  @PrimaryColumn('int')
  authorId!: number;

  @OneToOne(() => Author, (author) => author.biography)
  @JoinColumn({ name: 'authorId' })
  author!: Author;

  @Column('text')
  text!: string;
}

@Entity()
class Publisher {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column('text')
  name!: string;
}

@Entity()
class Book {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column('text')
  title!: string;

  @ManyToOne(() => Author, (author) => author.books, { lazy: true })
  author!: Promise<Author | null>;

  @ManyToOne(() => Publisher, { eager: true })
  publisher!: Publisher | null;

  @ManyToOne(() => Author)
  @JoinColumn({ name: 'translator', referencedColumnName: 'penName' })
  translator!: Author | null;

  @ManyToMany(() => Genre, (genre) => genre.books)
  @JoinTable({ name: 'book_genres', joinColumn: { name: 'book' }, inverseJoinColumn: { name: 'genre' } })
  genres!: Genre[];

  @OneToMany(() => Shelving, (shelving) => shelving.book)
  shelvings!: Shelving[];

  @DeleteDateColumn()
  deletedAt!: Date | null;
}

@Entity()
class Genre {
  @PrimaryColumn('text')
  name!: string;

  @ManyToMany(() => Book, (book) => book.genres)
  books!: Book[];
}

@Entity()
class Shelf {
  @PrimaryColumn('text')
  name!: string;
}

/** A join table with columns of its own. */
@Entity()
class Shelving {
  @PrimaryColumn('int')
  bookId!: number;

  @PrimaryColumn('text')
  shelfName!: string;

  @ManyToOne(() => Book, (book) => book.shelvings)
  book!: Book;

  @ManyToOne(() => Shelf)
  shelf!: Shelf;

  @Column('int')
  position!: number;
}

let env: SessionUnderTest;

beforeAll(async () => {
  env = await SessionUnderTest.start({ entities: [Author, Biography, Publisher, Book, Genre, Shelf, Shelving] });
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  await env.database.query(
    'TRUNCATE author, biography, publisher, book, genre, shelf, shelving, book_genres RESTART IDENTITY CASCADE',
  );
  env.sent();
});

const make = <T extends object>(target: new () => T, values: object): T => Object.assign(new target(), values);

test('an eager relation comes with every find', async () => {
  await using session = env.factory.open();
  session.add(make(Book, { title: 'a', publisher: make(Publisher, { name: 'P' }) }));
  await session.commit();
  await session.close();
  const [book] = await session.find(Book);
  expect(book!.publisher?.name).toBe('P');
});

test('a lazy relation is a promise: set, flushed and loaded as such', async () => {
  await using session = env.factory.open();
  const author = make(Author, { name: 'Ann' });
  // TypeORM makes the property a lazy one when it makes the object.
  const book = env.dataSource.manager.create(Book, { title: 'a' });
  book.author = Promise.resolve(author);
  await book.author;
  session.addAll([author, book]);
  await session.commit();
  expect(await env.database.query('SELECT "authorId" FROM book')).toEqual([{ authorId: author.id }]);
  await session.close();
  const again = await session.getOrFail(Book, book.id);
  await session.load(again, { relations: ['author'] });
  expect((await again.author)?.name).toBe('Ann');
  expect(session.dirty).toEqual([]);
});

test('a lazy relation that is awaited gives the session’s own object, and is no change', async () => {
  await using session = env.factory.open();
  const author = make(Author, { name: 'Ann' });
  const book = env.dataSource.manager.create(Book, { title: 'a' });
  book.author = Promise.resolve(author);
  await book.author;
  session.addAll([author, book]);
  await session.commit();
  await session.close();
  const again = await session.getOrFail(Book, book.id);
  const loaded = await again.author;
  expect(loaded?.name).toBe('Ann');
  expect(loaded).toBe(await session.getOrFail(Author, author.id));
  expect(session.dirty).toEqual([]);
  env.proxy.clear();
  await session.commit();
  expect(env.sent().filter((text) => /INSERT|UPDATE|DELETE/.test(text))).toEqual([]);
  expect(await env.database.query('SELECT count(*)::int AS n FROM author')).toEqual([{ n: 1 }]);
});

test('a lazy relation that is awaited sends nothing for an object that the session has', async () => {
  await using session = env.factory.open();
  await env.database.query(
    `INSERT INTO author (name) VALUES ('Ann'); INSERT INTO book (title, "authorId") VALUES ('a', 1)`,
  );
  const author = await session.findOneOrFail(Author, { where: { id: 1 }, relations: { books: true } });
  const [book] = await author.books;
  env.sent();
  expect(await book!.author).toBe(author);
  expect(env.sent()).toEqual([]);
  expect(session.dirty).toEqual([]);
});

test('a foreign key may refer to another unique column than the key', async () => {
  await using session = env.factory.open();
  const translator = make(Author, { name: 'Tom', penName: 'tt' });
  const book = make(Book, { title: 'a', translator });
  session.add(book);
  await session.commit();
  expect(await env.database.query('SELECT translator FROM book')).toEqual([{ translator: 'tt' }]);
  await session.close();
  const again = await session.getOrFail(Book, book.id);
  await session.load(again, { relations: ['translator'] });
  expect(again.translator?.name).toBe('Tom');
});

test('a one-to-one relation whose foreign key is the key: parent and child in one flush', async () => {
  await using session = env.factory.open();
  const author = make(Author, { name: 'Ann' });
  const biography = make(Biography, { text: 'born', author });
  session.add(biography);
  await session.commit();
  expect(biography.authorId).toBe(author.id);
  await session.close();
  const again = await session.getOrFail(Author, author.id);
  await session.load(again, { relations: ['biography.author'] });
  expect(again.biography?.text).toBe('born');
  expect(again.biography?.author).toBe(again);
});

test('a join table is written from either side, and only its difference', async () => {
  await using session = env.factory.open();
  const [crime, love, war] = ['crime', 'love', 'war'].map((name) => make(Genre, { name })) as [Genre, Genre, Genre];
  const book = make(Book, { title: 'a', genres: [crime, love] });
  session.addAll([book, war]);
  await session.commit();
  env.sent();
  book.genres.splice(0, 1);
  book.genres.push(war);
  await session.commit();
  expect(env.statements().map((sql) => /INSERT INTO|DELETE FROM/.exec(sql)?.[0])).toEqual([
    'INSERT INTO',
    'DELETE FROM',
  ]);
  await session.load(crime, { relations: ['books'] });
  crime.books.push(book);
  await session.commit();
  expect(await env.database.query('SELECT book, genre FROM book_genres ORDER BY genre')).toEqual([
    { book: book.id, genre: 'crime' },
    { book: book.id, genre: 'love' },
    { book: book.id, genre: 'war' },
  ]);
  expect(book.genres).toContain(crime);
});

test('a join table with columns of its own is an entity, its key made of its relations', async () => {
  await using session = env.factory.open();
  const book = make(Book, { title: 'a' });
  const shelf = make(Shelf, { name: 'top' });
  const shelving = make(Shelving, { book, shelf, position: 3 });
  session.addAll([book, shelf, shelving]);
  await session.commit();
  expect([shelving.bookId, shelving.shelfName]).toEqual([book.id, 'top']);
  expect(await session.get(Shelving, { bookId: book.id, shelfName: 'top' })).toBe(shelving);
  shelving.position = 4;
  await session.commit();
  expect(await env.database.query('SELECT position FROM shelving')).toEqual([{ position: 4 }]);
});

test('soft-deleted objects stay out of loaded relations', async () => {
  await using session = env.factory.open();
  const genre = make(Genre, { name: 'crime' });
  const books = ['a', 'b'].map((title) => make(Book, { title, genres: [genre] }));
  session.addAll(books);
  await session.commit();
  books[0]!.deletedAt = new Date();
  await session.commit();
  await session.close();
  const again = await session.getOrFail(Genre, 'crime');
  await session.load(again, { relations: ['books'] });
  expect(again.books.map(({ title }) => title)).toEqual(['b']);
});

test('what a session writes is what a repository reads, relation by relation', async () => {
  await using session = env.factory.open();
  const book = make(Book, {
    title: 'a',
    publisher: make(Publisher, { name: 'P' }),
    translator: make(Author, { name: 'T', penName: 't' }),
    genres: [make(Genre, { name: 'g' })],
  });
  session.add(book);
  await session.commit();
  const theirs = await env.dataSource
    .getRepository(Book)
    .findOneOrFail({ where: { id: book.id }, relations: { translator: true, genres: true } });
  expect([theirs.publisher?.name, theirs.translator?.name, theirs.genres[0]?.name]).toEqual(['P', 'T', 'g']);
  await session.close();
  const ours = await session.findOneOrFail(Book, {
    where: { id: book.id },
    relations: { translator: true, genres: true },
  });
  expect(ours.genres).toEqual(theirs.genres);
  expect(ours.translator).toEqual(theirs.translator);
});
