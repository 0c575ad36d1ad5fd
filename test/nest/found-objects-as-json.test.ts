import { Controller, Get, Injectable, Module } from '@nestjs/common';
import { InjectRepository, TypeOrmModule } from '@nestjs/typeorm';
import { DbSession, Transactional, UowModule } from 'nestjs-uow';
import { Column, Entity, ManyToOne, OneToMany, PrimaryGeneratedColumn, Repository } from 'typeorm';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { triedOptions } from '../support/tried-options.js';
import { listen, PLATFORMS } from './notes-app.js';

@Entity('author')
class Author {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column('text')
  name!: string;

  @OneToMany(() => Book, (book) => book.author)
  books!: Book[];
}

@Entity('book')
class Book {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column('text')
  title!: string;

  @ManyToOne(() => Author, (author) => author.books)
  author!: Author;
}

const WITH_BOOKS = { relations: { books: true }, order: { id: 'ASC', books: { id: 'ASC' } } } as const;

@Injectable()
class Library {
  constructor(private readonly session: DbSession) {}

  @Transactional({ readOnly: true })
  async authors(): Promise<Author[]> {
    return await this.session.find(Author, WITH_BOOKS);
  }
}

@Controller()
class LibraryController {
  constructor(
    private readonly session: DbSession,
    private readonly library: Library,
    @InjectRepository(Author) private readonly repository: Repository<Author>,
  ) {}

  @Get('found')
  async found(): Promise<Author[]> {
    return await this.session.find(Author, WITH_BOOKS);
  }

  @Get('found-in-a-transaction')
  async foundInTransaction(): Promise<Author[]> {
    return await this.library.authors();
  }

  @Get('loaded')
  async loaded(): Promise<Author[]> {
    const authors = await this.session.find(Author, { order: { id: 'ASC' } });
    await this.session.load(authors, { relations: { books: true } });
    return authors;
  }

  @Get('books')
  async books(): Promise<Book[]> {
    return await this.session.find(Book, { relations: { author: true }, order: { id: 'ASC' } });
  }

  @Get('repository')
  async repositorys(): Promise<Author[]> {
    return await this.repository.find(WITH_BOOKS);
  }
}

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase({
    schema: `
      CREATE TABLE author (id serial PRIMARY KEY, name text NOT NULL);
      CREATE TABLE book (id serial PRIMARY KEY, title text NOT NULL, "authorId" int REFERENCES author);
      INSERT INTO author (name) VALUES ('Ann'), ('Bob');
      INSERT INTO book (title, "authorId") VALUES ('a', 1), ('b', 1)`,
  });
});
afterAll(async () => {
  await database.drop();
});

describe.each(PLATFORMS)('a controller on %s', (platform) => {
  test('answers with found objects and their relations, as with those of a repository', async () => {
    @Module({
      imports: [
        TypeOrmModule.forRoot({ ...database.typeorm, entities: [Author, Book] }),
        TypeOrmModule.forFeature([Author]),
        UowModule.forRoot(triedOptions),
      ],
      controllers: [LibraryController],
      providers: [Library],
    })
    class AppModule {}
    await using app = await listen(AppModule, platform);

    const body = [
      {
        id: 1,
        name: 'Ann',
        books: [
          { id: 1, title: 'a' },
          { id: 2, title: 'b' },
        ],
      },
      { id: 2, name: 'Bob', books: [] },
    ];
    for (const path of ['/repository', '/found', '/found-in-a-transaction', '/loaded']) {
      expect([path, await app.get(path)]).toEqual([path, { status: 200, body }]);
    }
    const ann = { id: 1, name: 'Ann' };
    expect(await app.get('/books')).toEqual({
      status: 200,
      body: [
        { id: 1, title: 'a', author: ann },
        { id: 2, title: 'b', author: ann },
      ],
    });
  });
});
