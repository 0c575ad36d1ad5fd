import { Column, Entity, PrimaryGeneratedColumn, VersionColumn } from 'typeorm';
import type { DbSession } from '../../libs/uow/src/session/db-session.js';
import { Address, SA_ENTITIES, SA_TABLES, User } from './sa-entities.js';
import { SessionUnderTest } from './session-under-test.js';

@Entity('document')
class Document {
  @PrimaryGeneratedColumn('identity')
  id!: number;

  @Column('jsonb')
  body: unknown;

  @VersionColumn()
  version!: number;

  static of(body: unknown): Document {
    return Object.assign(new Document(), { body });
  }
}

const circular: Record<string, unknown> = {};
circular['self'] = circular;

const VALUES = [
  { name: 'a json that contains itself', value: circular, reason: 'Converting circular structure to JSON' },
  { name: 'a BigInt in a json', value: { amount: 1n }, reason: 'Do not know how to serialize a BigInt' },
];

let env: SessionUnderTest;
let session: DbSession;
beforeAll(async () => {
  env = await SessionUnderTest.start({ entities: [...SA_ENTITIES, Document] });
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  await env.database.query(`TRUNCATE ${SA_TABLES}, document RESTART IDENTITY CASCADE`);
  session = env.factory.open();
  env.sent();
});
afterEach(async () => {
  await session.close();
});

describe.each(VALUES)('$name', ({ value, reason }) => {
  const refusal = (of: string): object => ({
    name: 'FlushError',
    code: 'UOW_FLUSH',
    message: `${of} cannot be sent: ${reason}. Set a value that the column can store.`,
    cause: expect.any(TypeError) as unknown,
  });

  test('in a new object: nothing is sent, and what was added can be added again', async () => {
    const [ed, good, bad] = [User.named('ed', Address.of('a')), Document.of({}), Document.of(value)];
    session.addAll([ed, good, bad]);
    await expect(session.commit()).rejects.toMatchObject(refusal('the pending Document: body'));
    expect(env.sent()).toEqual([]);
    bad.body = { mended: true };
    session.addAll([ed, good, bad]);
    await session.commit();
    expect(await env.database.query('SELECT body FROM document ORDER BY id')).toEqual([
      { body: {} },
      { body: { mended: true } },
    ]);
    expect(await env.database.query('SELECT name FROM users')).toEqual([{ name: 'ed' }]);
  });

  describe('in a changed object', () => {
    let stored: Document;
    beforeEach(async () => {
      stored = Document.of({ first: 1 });
      session.add(stored);
      await session.commit();
      await session.refresh(stored);
      session.add(User.named('ed'));
      stored.body = value;
      env.sent();
    });

    test('a commit sends no change, rolls back, and gives the object its value again', async () => {
      await expect(session.commit()).rejects.toMatchObject(refusal('Document 1: body'));
      expect(env.sent().filter((sql) => !sql.startsWith('ROLLBACK'))).toEqual([]);
      expect(stored.body).toEqual({ first: 1 });
      stored.body = { second: 2 };
      await session.commit();
      expect(await env.database.query('SELECT body, version FROM document')).toEqual([
        { body: { second: 2 }, version: 2 },
      ]);
      expect(await env.database.query('SELECT * FROM users')).toEqual([]);
    });

    test('a rollback after a failed flush gives the object its value again', async () => {
      await expect(session.flush()).rejects.toMatchObject(refusal('Document 1: body'));
      await session.rollback();
      expect(stored.body).toEqual({ first: 1 });
      expect(session.isActive).toBe(true);
    });

    test('so does the rollback of a savepoint', async () => {
      stored.body = { first: 1 };
      const savepoint = await session.beginNested();
      stored.body = value;
      await savepoint.rollback();
      expect(stored.body).toEqual({ first: 1 });
      await session.commit();
    });

    test('it counts as changed, and a refresh replaces it', async () => {
      expect(session.isModified(stored)).toBe(true);
      session.expire(stored);
      await session.refresh(stored);
      expect(stored.body).toEqual({ first: 1 });
    });
  });

  test('in rows written in bulk: nothing is sent', async () => {
    await expect(session.bulkInsert(Document, [{ body: {} }, { body: value }])).rejects.toMatchObject({
      ...refusal('session.bulkInsert(): Document.body'),
      name: 'InvalidSessionOperationError',
      code: 'UOW_INVALID_SESSION_OPERATION',
    });
    expect(env.sent()).toEqual([]);
  });

  test('among the values of a statement: nothing is sent, and the next one goes', async () => {
    await expect(session.execute('SELECT $1::jsonb', [value])).rejects.toThrow(reason);
    expect(env.sent()).toEqual([]);
    await session.execute('SELECT 1');
    await session.commit();
  });
});
