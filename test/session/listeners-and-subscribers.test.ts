import {
  AfterInsert,
  AfterLoad,
  AfterRemove,
  AfterUpdate,
  BeforeInsert,
  BeforeRemove,
  BeforeUpdate,
  Column,
  Entity,
  EventSubscriber,
  PrimaryGeneratedColumn,
} from 'typeorm';
import type { EntitySubscriberInterface, InsertEvent, UpdateEvent } from 'typeorm';
import type { DbSession } from '../../libs/uow/src/session/db-session.js';
import { SessionUnderTest } from './session-under-test.js';

const heard: string[] = [];

@Entity('note')
class Note {
  @PrimaryGeneratedColumn('identity', { generatedIdentity: 'BY DEFAULT' })
  id!: number;

  @Column('text')
  text!: string;

  @Column('text', { nullable: true })
  slug!: string | null;

  shown = '';

  @BeforeInsert() @BeforeUpdate() makeSlug(): void {
    heard.push(`before write of ${this.text}`);
    this.slug = this.text.toLowerCase();
  }
  @AfterInsert() inserted(): void {
    heard.push(`inserted ${this.id}`);
  }
  @AfterUpdate() updated(): void {
    heard.push(`updated ${this.text}`);
  }
  @BeforeRemove() removing(): void {
    heard.push(`removing ${this.text}`);
  }
  @AfterRemove() removed(): void {
    heard.push(`removed ${this.text}`);
  }
  @AfterLoad() async loaded(): Promise<void> {
    await Promise.resolve();
    this.shown = `* ${this.text}`;
  }

  static of(text: string): Note {
    return Object.assign(new Note(), { text });
  }
}

@EventSubscriber()
class Auditor implements EntitySubscriberInterface<Note> {
  listenTo(): typeof Note {
    return Note;
  }
  async afterInsert(event: InsertEvent<Note>): Promise<void> {
    await event.manager.query('INSERT INTO audit (text) VALUES ($1)', [`inserted ${event.entity.text}`]);
  }
  beforeUpdate({ databaseEntity, entity, updatedColumns }: UpdateEvent<Note>): void {
    heard.push(
      `${databaseEntity.text} → ${(entity as Note).text} (${updatedColumns.map(({ propertyName }) => propertyName).join()})`,
    );
  }
}

let env: SessionUnderTest;
let session: DbSession;

beforeAll(async () => {
  env = await SessionUnderTest.start({ entities: [Note], dataSource: { subscribers: [Auditor] } });
  await env.database.query('CREATE TABLE audit (text text)');
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  await env.database.query('TRUNCATE note, audit RESTART IDENTITY');
  session = env.factory.open();
  heard.length = 0;
  env.sent();
});
afterEach(async () => {
  await session.close();
});

test('listeners before the insert may change the row, those after it see its key', async () => {
  session.add(Note.of('First'));
  await session.commit();
  expect(heard).toEqual(['before write of First', 'inserted 1']);
  expect(await env.database.query('SELECT text, slug FROM note')).toEqual([{ text: 'First', slug: 'first' }]);
});

test('a subscriber’s manager writes in the session’s transaction, and COMMIT waits for it', async () => {
  session.add(Note.of('First'));
  await session.commit();
  const sent = env.sent();
  expect(sent.indexOf('COMMIT')).toBeGreaterThan(sent.findIndex((sql) => sql.includes('audit')));
  expect(await env.database.query('SELECT text FROM audit')).toEqual([{ text: 'inserted First' }]);
});

test('an update is announced with the row as it was and the changed columns', async () => {
  session.add(Note.of('First'));
  await session.commit();
  const note = (await session.find(Note))[0]!;
  heard.length = 0;
  note.text = 'Second';
  await session.commit();
  expect(heard).toEqual(['before write of Second', 'First → Second (text)', 'updated Second']);
  expect(await env.database.query('SELECT slug FROM note')).toEqual([{ slug: 'second' }]);
  heard.length = 0;
  await session.flush();
  expect(heard).toEqual([]);
});

test('a removal is announced before and after', async () => {
  const note = Note.of('First');
  session.add(note);
  await session.commit();
  heard.length = 0;
  session.delete(note);
  await session.commit();
  expect(heard).toEqual(['removing First', 'removed First']);
});

test('an object that was loaded beside one that is missing is told, too', async () => {
  const first = Note.of('First');
  session.add(first);
  await session.commit();
  await session.close();
  const { id } = first;
  await expect(session.getManyOrFail(Note, [id, 99])).rejects.toMatchObject({ code: 'UOW_ENTITY_NOT_FOUND', key: 99 });
  expect((await session.get(Note, id))?.shown).toBe('* First');
});

test('a loaded object is told before it is handed out, and what that sets is no change', async () => {
  session.add(Note.of('First'));
  await session.commit();
  await session.close();
  const [note] = await session.find(Note);
  expect(note!.shown).toBe('* First');
  expect(session.isModified(note!)).toBe(false);
});

test('an error of a listener fails the flush, and the transaction can be rolled back', async () => {
  const note = Note.of('First');
  session.add(note);
  (note as { makeSlug: () => void }).makeSlug = () => {
    throw new Error('no slug');
  };
  await expect(session.commit()).rejects.toThrow('no slug');
  expect(session.inTransaction).toBe(false);
  expect(await env.database.query('SELECT * FROM note')).toEqual([]);
});
