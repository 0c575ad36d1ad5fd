import {
  ChildEntity,
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
  TableInheritance,
  VersionColumn,
} from 'typeorm';

/** Entities of every kind that is read differently, for comparing finds with TypeORM's. */

const asBigInt = {
  from: (stored: string | null) => (stored === null ? null : BigInt(stored)),
  to: (value: unknown) => (typeof value === 'bigint' ? String(value) : value),
};

const asWords = {
  from: (stored: string | null) => stored?.split(' ') ?? null,
  to: (words: string[]) => words.join(' '),
};

export class Place {
  @Column('text', { nullable: true })
  city!: string | null;

  @Column('timestamptz', { nullable: true })
  since!: Date | null;
}

@Entity()
export class Author {
  @PrimaryGeneratedColumn('identity')
  id!: number;

  @Column('text')
  name!: string;

  @Column('bigint', { transformer: asBigInt })
  fans!: bigint;

  @Column('double precision', { nullable: true })
  rating!: number | null;

  @Column('boolean')
  active!: boolean;

  @Column('date', { nullable: true })
  born!: string | null;

  @Column('timestamptz')
  joined!: Date;

  @Column('timestamp', { precision: 3, nullable: true })
  seen!: Date | null;

  @Column('text', { array: true })
  tongues!: string[];

  @Column('jsonb', { nullable: true })
  profile!: object | null;

  @Column('bytea', { nullable: true, select: false })
  portrait!: Buffer | null;

  @Column(() => Place)
  home!: Place;

  @OneToMany(() => Book, (book) => book.author)
  books!: Book[];

  @OneToOne(() => Account, (account) => account.author)
  account!: Account | null;
}

@Entity()
export class Account {
  @PrimaryColumn('uuid')
  id!: string;

  @Column('numeric', { precision: 12, scale: 2 })
  balance!: string;

  @VersionColumn()
  version!: number;

  @OneToOne(() => Author, (author) => author.account)
  @JoinColumn()
  author!: Author;
}

@Entity()
@TableInheritance({ column: { type: 'varchar', name: 'kind' } })
export class Book {
  @PrimaryGeneratedColumn('identity')
  id!: number;

  @Column('text')
  title!: string;

  @Column('int', { nullable: true })
  year!: number | null;

  @ManyToOne(() => Author, (author) => author.books, { nullable: true })
  author!: Author | null;

  @OneToMany(() => Review, (review) => review.book)
  reviews!: Review[];

  @ManyToMany(() => Label, (label) => label.books)
  @JoinTable()
  labels!: Label[];
}

@ChildEntity()
export class Novel extends Book {
  @Column('text', { nullable: true, transformer: asWords })
  motto!: string[] | null;
}

@ChildEntity()
export class Manual extends Book {
  @Column('timestamptz', { nullable: true })
  revised!: Date | null;
}

@Entity()
export class Review {
  @PrimaryColumn('int')
  number!: number;

  @PrimaryColumn('text')
  paper!: string;

  @Column('interval', { nullable: true })
  took!: object | null;

  @DeleteDateColumn({ type: 'timestamptz' })
  deletedAt!: Date | null;

  @ManyToOne(() => Book, (book) => book.reviews)
  book!: Book;
}

@Entity()
export class Label {
  @PrimaryColumn('varchar', { length: 20 })
  name!: string;

  @ManyToMany(() => Book, (book) => book.labels)
  books!: Book[];
}

export const findEntities = [Author, Account, Book, Novel, Manual, Review, Label];

/** Rows of every kind, nulls among them. Every third review is deleted, every seventh book has no author. */
export const findRows = `
  INSERT INTO author (name, fans, rating, active, born, joined, seen, tongues, profile, portrait, "homeCity", "homeSince")
  SELECT 'author ' || n % 7, n * 10000000000, CASE WHEN n % 4 > 0 THEN n / 7.0 END, n % 3 = 0,
         CASE WHEN n % 5 > 0 THEN date '1950-02-27' + n END,
         CASE n WHEN 1 THEN 'infinity' WHEN 2 THEN '0044-03-15 12:00 BC' ELSE timestamptz '2026-03-28 23:30' + n * interval '4 h 0.123456 s' END,
         CASE WHEN n % 6 > 0 THEN timestamp '1999-12-31 23:59:59.999' + n * interval '1 day' END,
         CASE WHEN n % 4 = 0 THEN '{}' ELSE ARRAY['de', 'e"n', NULL]::text[] END,
         CASE WHEN n % 5 > 0 THEN jsonb_build_object('n', n, 'parts', jsonb_build_array(n, 'x', null)) END,
         CASE WHEN n % 2 = 0 THEN decode('00ff0' || n % 10, 'hex') END,
         CASE WHEN n % 3 > 0 THEN 'city ' || n % 4 END, CASE WHEN n % 3 > 1 THEN timestamptz '0099-01-01' END
    FROM generate_series(1, 20) AS n;
  INSERT INTO account (id, balance, version, "authorId")
  SELECT md5(n::text)::uuid, n * 1.10, n, n FROM generate_series(1, 20, 2) AS n;
  INSERT INTO book (title, year, kind, motto, revised, "authorId")
  SELECT 'book ' || n % 11, CASE WHEN n % 4 > 0 THEN 1990 + n % 13 END, (ARRAY['Book', 'Novel', 'Manual'])[n % 3 + 1],
         CASE WHEN n % 3 = 1 AND n % 2 = 0 THEN 'to be ' || n END,
         CASE WHEN n % 3 = 2 THEN timestamptz '2020-06-01 00:00:00.5' + n * interval '1 h' END,
         CASE WHEN n % 7 > 0 THEN n % 20 + 1 END
    FROM generate_series(1, 60) AS n;
  INSERT INTO review (number, paper, took, "deletedAt", "bookId")
  SELECT n / 2, (ARRAY['Post', 'Times'])[n % 2 + 1], CASE WHEN n % 4 > 0 THEN n * interval '90 min' END,
         CASE WHEN n % 3 = 0 THEN timestamptz '2026-01-01' END, n % 60 + 1
    FROM generate_series(1, 90) AS n;
  INSERT INTO label (name) SELECT 'label ' || n FROM generate_series(1, 6) AS n;
  INSERT INTO book_labels_label ("bookId", "labelName")
  SELECT n, 'label ' || m FROM generate_series(1, 60) AS n, generate_series(1, 6) AS m WHERE (n + m) % 4 = 0;
`;
