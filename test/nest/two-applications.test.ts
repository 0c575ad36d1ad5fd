import { Injectable } from '@nestjs/common';
import type { INestApplicationContext } from '@nestjs/common';
import { DbSession, Transactional } from 'nestjs-uow';
import { Note, Notes, NotesDatabase } from './notes-app.js';

/** Two applications of one process, from the same classes, with data sources of the same name. */
@Injectable()
class Diary {
  constructor(
    private readonly notes: Notes,
    private readonly session: DbSession,
  ) {}

  @Transactional()
  async write(text: string, pause?: Promise<void>): Promise<void> {
    await this.notes.write(`${text}, by a repository`);
    await pause;
    this.session.add(Object.assign(new Note(), { text: `${text}, by the session` }));
    await pause;
    await this.session.flush();
  }

  @Transactional()
  async calls(other: Diary, text: string): Promise<void> {
    await this.notes.write(`${text}, outer`);
    await other.write(text);
    throw new Error('undo');
  }
}

@Transactional()
@Injectable()
class DiaryByClass {
  constructor(private readonly notes: Notes) {}

  async write(text: string): Promise<void> {
    await this.notes.write(text);
    throw new Error('undo');
  }
}

let databases: [NotesDatabase, NotesDatabase];
let apps: [INestApplicationContext, INestApplicationContext];

beforeAll(async () => {
  databases = [await NotesDatabase.create(), await NotesDatabase.create()];
  apps = [await databases[0].start([Diary, DiaryByClass]), await databases[1].start([Diary, DiaryByClass])];
});

afterAll(async () => {
  for (const app of apps) await app.close();
  for (const database of databases) await database[Symbol.asyncDispose]();
});

beforeEach(async () => {
  for (const database of databases) await database.clear();
});

test('interleaved, each writes to its own database', async () => {
  let go: () => void = () => undefined;
  const pause = new Promise<void>((resolve) => {
    go = resolve;
  });
  const work = Promise.all([
    apps[0].get(Diary).write('one', pause),
    apps[1].get(Diary).write('two', pause),
    apps[0].get(Diary).write('three', pause),
    apps[1].get(Diary).write('four', pause),
  ]);
  go();
  await work;
  expect((await databases[0].texts()).sort()).toEqual([
    'one, by a repository',
    'one, by the session',
    'three, by a repository',
    'three, by the session',
  ]);
  expect((await databases[1].texts()).sort()).toEqual([
    'four, by a repository',
    'four, by the session',
    'two, by a repository',
    'two, by the session',
  ]);
});

test('a call from one into the other begins a transaction there, which outlives the caller’s', async () => {
  await expect(apps[0].get(Diary).calls(apps[1].get(Diary), 'a')).rejects.toThrow('undo');
  expect(await databases[0].texts()).toEqual([]);
  expect(await databases[1].texts()).toEqual(['a, by a repository', 'a, by the session']);
});

test('a class that is transactional belongs to the application of its object', async () => {
  for (const app of apps) await expect(app.get(DiaryByClass).write('a')).rejects.toThrow('undo');
  for (const database of databases) expect(await database.texts()).toEqual([]);
});

test('closing one leaves the other as it was', async () => {
  const third = await databases[0].start([Diary]);
  await third.close();
  await apps[0].get(Diary).write('still there');
  expect(await databases[0].texts()).toHaveLength(2);
});
