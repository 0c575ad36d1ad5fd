import { Injectable, Module } from '@nestjs/common';
import type { INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import { Transactional, TransactionManager, UowModule } from 'nestjs-uow';
import type { UowModuleOptions } from 'nestjs-uow';
import {
  BaseEntity,
  Column,
  DataSource,
  Entity,
  EventSubscriber,
  ManyToOne,
  OneToMany,
  PrimaryGeneratedColumn,
  Tree,
  TreeChildren,
  TreeParent,
} from 'typeorm';
import type { EntitySubscriberInterface, InsertEvent } from 'typeorm';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { triedOptions } from '../support/tried-options.js';
import { startWireProxy, type WireProxy } from '../support/wire-proxy.js';

/** A small library of books, in plain TypeORM, with a proxy between it and the server. */

@Entity()
export class Author extends BaseEntity {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column('text', { unique: true })
  name!: string;

  @OneToMany(() => Book, (book) => book.author)
  books!: Promise<Book[]>;
}

@Entity()
export class Book {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column('text')
  title!: string;

  @ManyToOne(() => Author, (author) => author.books, { lazy: true })
  author!: Promise<Author | null>;
}

@Entity()
@Tree('materialized-path')
export class Shelf {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column('text')
  name!: string;

  @TreeParent()
  parent!: Shelf | null;

  @TreeChildren()
  children!: Shelf[];
}

/** Written by a subscriber, with the manager of the event. */
@Entity()
export class Trace {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column('text')
  text!: string;
}

@EventSubscriber()
export class AuthorSubscriber implements EntitySubscriberInterface<Author> {
  listenTo(): typeof Author {
    return Author;
  }

  async afterInsert(event: InsertEvent<Author>): Promise<void> {
    await event.manager.save(Trace, { text: `new author ${event.entity.name}` });
  }
}

/** Runs whatever a test gives it, in a declared transaction. */
@Injectable()
export class Work {
  @Transactional()
  async inTransaction<T>(fn: () => Promise<T>): Promise<T> {
    return await fn();
  }

  /** Rolls back at the end, whatever happened. */
  async undone(fn: () => Promise<unknown>): Promise<void> {
    const undo = new Error('undo');
    await this.inTransaction(async () => {
      await fn();
      throw undo;
    }).catch((error: unknown) => {
      if (error !== undo) throw error;
    });
  }

  @Transactional({ propagation: 'NESTED' })
  async nested<T>(fn: () => Promise<T>): Promise<T> {
    return await fn();
  }

  @Transactional({ propagation: 'NOT_SUPPORTED' })
  async without<T>(fn: () => Promise<T>): Promise<T> {
    return await fn();
  }
}

export class LibraryApp implements AsyncDisposable {
  private constructor(
    readonly context: INestApplicationContext,
    readonly database: TestDatabase,
    readonly proxy: WireProxy,
  ) {}

  static async start(options: UowModuleOptions = {}): Promise<LibraryApp> {
    const database = await createTestDatabase();
    const proxy = await startWireProxy(database);
    @Module({
      imports: [
        TypeOrmModule.forRoot({
          ...proxy.typeorm,
          entities: [Author, Book, Shelf, Trace],
          subscribers: [AuthorSubscriber],
          synchronize: true,
        }),
        UowModule.forRoot({ ...triedOptions, ...options }),
      ],
      providers: [Work],
    })
    class AppModule {}
    const context = await NestFactory.createApplicationContext(AppModule, {
      logger: false,
    });
    return new LibraryApp(context, database, proxy);
  }

  get dataSource(): DataSource {
    return this.context.get(DataSource);
  }

  get transactions(): TransactionManager {
    return this.context.get(TransactionManager);
  }

  get work(): Work {
    return this.context.get(Work);
  }

  /** Names of the authors that everybody sees. */
  async authors(): Promise<string[]> {
    const rows = await this.database.query<{ name: string }>('SELECT name FROM author ORDER BY name');
    return rows.map(({ name }) => name);
  }

  /** Empties the tables. */
  async clear(): Promise<void> {
    await this.database.query('TRUNCATE author, book, shelf, trace RESTART IDENTITY CASCADE');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.context.close();
    await this.proxy.close();
    await this.database.drop();
  }
}
