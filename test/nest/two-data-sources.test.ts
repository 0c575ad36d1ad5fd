import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { Injectable, Module } from '@nestjs/common';
import type { INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { InjectRepository, TypeOrmModule } from '@nestjs/typeorm';
import {
  DbSession,
  DbSessionFactory,
  getDbSessionFactoryToken,
  getDbSessionToken,
  InjectDbSession,
  Transactional,
  TransactionManager,
  UowModule,
} from 'nestjs-uow';
import type { UowModuleOptions } from 'nestjs-uow';
import { BaseEntity, Column, DataSource, Entity, PrimaryGeneratedColumn, Repository } from 'typeorm';
import { triedOptions } from '../support/tried-options.js';
import { Note, NotesDatabase } from './notes-app.js';

@Entity('note')
class ActiveNote extends BaseEntity {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column('text')
  text!: string;
}

@Injectable()
class Ledger {
  constructor(
    @InjectRepository(Note) private readonly main: Repository<Note>,
    @InjectRepository(Note, 'reports') private readonly reports: Repository<Note>,
    private readonly session: DbSession,
    @InjectDbSession('reports') private readonly reportSession: DbSession,
  ) {}

  @Transactional()
  async onMain(text: string): Promise<void> {
    await this.main.insert({ text });
    this.session.add(Object.assign(new Note(), { text: `${text}, session` }));
  }

  @Transactional({ dataSource: 'reports' })
  async onReports(text: string): Promise<void> {
    await this.reports.insert({ text });
    this.reportSession.add(Object.assign(new Note(), { text: `${text}, session` }));
  }

  @Transactional()
  async onBoth(text: string): Promise<void> {
    await this.onMain(text);
    await this.onReports(text);
    throw new Error('undo the outer one');
  }

  /** Writes where its transaction is not. */
  @Transactional()
  async astray(text: string): Promise<void> {
    await this.main.insert({ text });
    await this.reports.insert({ text });
  }
}

let main: NotesDatabase;
let reports: NotesDatabase;

beforeAll(async () => {
  main = await NotesDatabase.create();
  reports = await NotesDatabase.create();
});

afterAll(async () => {
  await main[Symbol.asyncDispose]();
  await reports[Symbol.asyncDispose]();
});

beforeEach(async () => {
  await main.clear();
  await reports.clear();
});

const start = async (options: UowModuleOptions = {}): Promise<INestApplicationContext> => {
  @Module({
    imports: [
      TypeOrmModule.forRoot({ ...main.proxy.typeorm, entities: [Note, ActiveNote] }),
      TypeOrmModule.forRoot({
        ...reports.proxy.typeorm,
        name: 'reports',
        entities: [Note, ActiveNote],
      }),
      TypeOrmModule.forFeature([Note]),
      TypeOrmModule.forFeature([Note], 'reports'),
      UowModule.forRoot(triedOptions),
      UowModule.forRoot({ ...triedOptions, ...options, dataSource: 'reports' }),
    ],
    providers: [Ledger],
  })
  class AppModule {}
  return await NestFactory.createApplicationContext(AppModule, { logger: false });
};

describe('two data sources of one application', () => {
  let app: INestApplicationContext;

  beforeAll(async () => {
    app = await start();
  });

  afterAll(async () => {
    await app.close();
  });

  test('have each their own transactions and sessions', async () => {
    const ledger = app.get(Ledger);
    await ledger.onMain('a');
    await ledger.onReports('b');
    expect(await main.texts()).toEqual(['a', 'a, session']);
    expect(await reports.texts()).toEqual(['b', 'b, session']);
  });

  test('do not undo each other’s work', async () => {
    await expect(app.get(Ledger).onBoth('a')).rejects.toThrow('undo the outer one');
    expect(await main.texts()).toEqual([]);
    expect(await reports.texts()).toEqual(['a', 'a, session']);
  });

  test('a statement on the other one is TypeORM’s own, in the option’s default', async () => {
    await app.get(Ledger).astray('a');
    expect(await main.texts()).toEqual(['a']);
    expect(await reports.texts()).toEqual(['a']);
  });

  test('their tokens come from their names', () => {
    expect(getDbSessionToken()).toBe(DbSession);
    expect(app.get(getDbSessionToken('reports'))).toBeInstanceOf(DbSession);
    expect(app.get(getDbSessionToken('reports'))).not.toBe(app.get(DbSession));
    expect(app.get(getDbSessionFactoryToken('reports'))).not.toBe(app.get(DbSessionFactory));
  });

  test('an unknown name in @Transactional is an error that lists the known ones', async () => {
    await expect(app.get(TransactionManager).run({ dataSource: 'archive' }, () => undefined)).rejects.toThrow(
      /"archive".*(default, reports|reports, default)/s,
    );
  });

  test('the statics of an active record that both have are refused by name', async () => {
    expect(() => ActiveNote.getRepository()).toThrow(/ActiveNote .*("default" and "reports"|"reports" and "default")/);
    const note = Object.assign(new ActiveNote(), { text: 'a' });
    await expect((async () => await note.save())()).rejects.toMatchObject({
      code: 'UOW_SHARED_ACTIVE_RECORD',
    });
  });

  test('repositories of such a class work on', async () => {
    await app.get(DataSource).getRepository(ActiveNote).insert({ text: 'a' });
    expect(await main.texts()).toEqual(['a']);
  });
});

describe('a statement on another data source than the active transaction’s', () => {
  test('is reported under joining: warn', async () => {
    const app = await start({ joining: 'warn' });
    const codes: string[] = [];
    const listen = (warning: unknown): void => {
      codes.push((warning as { code: string }).code);
    };
    subscribe('nestjs-uow:warning', listen);
    await app.get(Ledger).astray('a');
    unsubscribe('nestjs-uow:warning', listen);
    expect(codes).toEqual(['UOW_WARN_FOREIGN_DATA_SOURCE']);
    expect(await reports.texts()).toEqual(['a']);
    await app.close();
  });

  test('is refused under joining: mandatory, and nothing is written', async () => {
    const app = await start({ joining: 'mandatory' });
    await expect(app.get(Ledger).astray('a')).rejects.toMatchObject({
      code: 'UOW_FOREIGN_DATA_SOURCE',
    });
    expect(await main.texts()).toEqual([]);
    expect(await reports.texts()).toEqual([]);
    await app.close();
  });

  test('outside every transaction is none of its business', async () => {
    const app = await start({ joining: 'mandatory' });
    await app.get<DataSource>('reportsDataSource').getRepository(Note).insert({ text: 'a' });
    expect(await reports.texts()).toEqual(['a']);
    await app.close();
  });
});
