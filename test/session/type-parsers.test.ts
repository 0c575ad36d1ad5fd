import pg from 'pg';
import { Column, Entity, PrimaryColumn, PrimaryGeneratedColumn } from 'typeorm';
import { SessionUnderTest } from './session-under-test.js';

/** An application may have its own parsers of what the server sends; a session reads with them as TypeORM does. */

@Entity()
class Sighting {
  @PrimaryColumn('int')
  id!: number;

  @Column('timestamptz', { nullable: true })
  at!: unknown;

  @Column('timestamp', { nullable: true })
  local!: unknown;

  @Column('boolean', { nullable: true })
  certain!: unknown;

  @Column('bigint', { nullable: true })
  distance!: unknown;
}

@Entity()
class Sound {
  @PrimaryGeneratedColumn('identity', { type: 'bigint' })
  id!: string;

  @Column('int')
  level!: number;
}

type Parser = (text: string) => unknown;

const ROWS = `
  INSERT INTO sighting (id, at, local, certain, distance) VALUES
    (1, '2026-03-04 05:06:07.891234+00', '2026-03-04 05:06:07.5', true, 9007199254740993),
    (2, 'infinity', '-infinity', false, 0),
    (3, NULL, NULL, NULL, NULL),
    (4, '0044-03-15 12:00+00 BC', '0099-02-28 23:59:59.999999', true, -1)`;

/** An invalid date equals no other. */
const shown = (sighting: Sighting): unknown =>
  Object.entries(sighting).map(([name, value]) => [
    name,
    value instanceof Date ? { time: value.getTime() } : (value as unknown),
  ]);

async function withParsers(
  parsers: Record<number, Parser>,
  work: (env: SessionUnderTest) => Promise<void>,
): Promise<void> {
  const types = {
    getTypeParser: (oid: number, format?: 'text') => parsers[oid] ?? pg.types.getTypeParser(oid, format),
  };
  const env = await SessionUnderTest.start({ entities: [Sighting, Sound], dataSource: { extra: { types } } });
  try {
    await env.dataSource.query(ROWS);
    await work(env);
  } finally {
    await env.stop();
  }
}

test.each<[string, Record<number, Parser>]>([
  ['none', {}],
  ['timestamps as texts', { 1184: (text) => text, 1114: (text) => text }],
  ['timestamps as milliseconds', { 1184: (text) => Date.parse(text), 1114: (text) => Date.parse(text) }],
  ['local timestamps as UTC', { 1114: (text) => new Date(`${text}Z`) }],
  ['booleans as words', { 16: (text) => (text === 't' ? 'yes' : 'no') }],
  ['bigints as bigints', { 20: BigInt }],
])('%s: objects are as from a repository, and unchanged', async (_, parsers) => {
  await withParsers(parsers, async ({ dataSource, factory }) => {
    const theirs = await dataSource.getRepository(Sighting).find({ order: { id: 'ASC' } });
    await factory.begin(async (session) => {
      const ours = await session.find(Sighting, { order: { id: 'ASC' } });
      expect(ours.map(shown)).toEqual(theirs.map(shown));
      expect(session.dirty).toEqual([]);
      await session.refresh(ours);
      expect(ours.map(shown)).toEqual(theirs.map(shown));
    });
  });
});

test('a Date that is changed in place is a change; one that is set to the same time is none', async () => {
  await withParsers({}, async ({ factory }) => {
    await factory.begin(async (session) => {
      const seen = await session.getOrFail(Sighting, 1);
      const at = seen.at as Date;
      seen.at = new Date(at.getTime());
      expect(session.isModified(seen)).toBe(false);
      (seen.at as Date).setTime(at.getTime() + 1);
      expect(session.changesOf(seen)).toEqual({ at: { from: at, to: seen.at } });
    });
    await factory.begin(async (session) => {
      const seen = await session.getOrFail(Sighting, 1);
      expect(seen.at).toEqual(new Date('2026-03-04T05:06:07.892Z'));
      const [always, never, early] = await session.getManyOrFail(Sighting, [2, 3, 4]);
      expect([always.at, always.local, never.at]).toEqual([Infinity, -Infinity, null]);
      always.at = -Infinity;
      early.at = null;
    });
    await factory.begin(async (session) => {
      const [always, , early] = await session.getManyOrFail(Sighting, [2, 3, 4]);
      expect([always.at, early.at]).toEqual([-Infinity, null]);
    });
  });
});

test('a parser that throws at what a flush gets back fails the flush and the transaction', async () => {
  const parsers = {
    20: (): never => {
      throw new RangeError('no bigints here');
    },
  };
  await withParsers(parsers, async ({ factory, dataSource }) => {
    const session = factory.open();
    try {
      session.addAll([1, 2, 3, 4, 5, 6, 7].map((level) => Object.assign(new Sound(), { level })));
      await expect(session.flush()).rejects.toThrow('no bigints here');
      await expect(session.commit()).rejects.toMatchObject({ code: 'UOW_PENDING_ROLLBACK' });
      await session.rollback();
    } finally {
      await session.close();
    }
    expect(await dataSource.query('SELECT level FROM sound')).toEqual([]);
  });
});
