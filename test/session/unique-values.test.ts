import { Column, Entity, PrimaryGeneratedColumn, Unique } from 'typeorm';
import type { DbSession } from '../../libs/uow/src/session/db-session.js';
import { SessionUnderTest } from './session-under-test.js';

@Entity('seat')
class Seat {
  @PrimaryGeneratedColumn('identity', { generatedIdentity: 'BY DEFAULT' })
  id!: number;

  @Column('text', { unique: true })
  place!: string;

  @Column('text', { unique: true, nullable: true })
  badge!: string | null;

  static at(place: string, badge: string | null = null): Seat {
    return Object.assign(new Seat(), { place, badge });
  }
}

@Entity('locker')
@Unique(['number'], { deferrable: 'INITIALLY DEFERRED' })
class Locker {
  @PrimaryGeneratedColumn('identity', { generatedIdentity: 'BY DEFAULT' })
  id!: number;

  @Column('int')
  number!: number;
}

let env: SessionUnderTest;
let session: DbSession;

beforeAll(async () => {
  env = await SessionUnderTest.start({ entities: [Seat, Locker] });
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  await env.database.query('TRUNCATE seat, locker RESTART IDENTITY');
  session = env.factory.open();
});
afterEach(async () => {
  await session.close();
});

const stored = async <T extends object>(...objects: T[]): Promise<T[]> => {
  session.addAll(objects);
  await session.commit();
  env.sent();
  return objects;
};
const places = async (): Promise<string[]> =>
  (await env.database.query<{ place: string }>('SELECT place FROM seat ORDER BY id')).map(({ place }) => place);

test('a chain of values is written from its free end, one statement for each link', async () => {
  const [a, b, c] = await stored(Seat.at('1'), Seat.at('2'), Seat.at('3'));
  a!.place = '2';
  b!.place = '3';
  c!.place = '4';
  await session.commit();
  expect(await places()).toEqual(['2', '3', '4']);
});

test('a new row takes a value that another row gives up', async () => {
  const [a] = await stored(Seat.at('1'));
  a!.place = 'elsewhere';
  session.add(Seat.at('1'));
  await session.commit();
  expect(await places()).toEqual(['elsewhere', '1']);
});

test('a new row takes the value of a row that is deleted', async () => {
  const [a] = await stored(Seat.at('1'));
  session.delete(a!);
  session.add(Seat.at('1'));
  await session.commit();
  expect(await env.database.query('SELECT id, place FROM seat')).toEqual([{ id: 2, place: '1' }]);
});

test('a true exchange goes through null where the column may be null', async () => {
  const [a, b] = await stored(Seat.at('1', 'red'), Seat.at('2', 'blue'));
  [a!.badge, b!.badge] = [b!.badge, a!.badge];
  await session.commit();
  expect(await env.database.query('SELECT badge FROM seat ORDER BY id')).toEqual([{ badge: 'blue' }, { badge: 'red' }]);
});

test('a true exchange of values that may not be null is refused before any SQL', async () => {
  const [a, b] = await stored(Seat.at('1'), Seat.at('2'));
  [a!.place, b!.place] = [b!.place, a!.place];
  await expect(session.flush()).rejects.toMatchObject({ code: 'UOW_UNIQUE_CYCLE' });
  expect(env.statements()).toEqual([]);
});

test('a true exchange succeeds where the constraint is deferrable', async () => {
  const [a, b] = await stored(Object.assign(new Locker(), { number: 1 }), Object.assign(new Locker(), { number: 2 }));
  [a!.number, b!.number] = [b!.number, a!.number];
  await session.commit();
  expect(await env.database.query('SELECT number FROM locker ORDER BY id')).toEqual([{ number: 2 }, { number: 1 }]);
  expect(env.statements()).toHaveLength(1);
});

test('changes that hand nothing on stay one statement', async () => {
  const [a, b] = await stored(Seat.at('1'), Seat.at('2'));
  a!.place = '10';
  b!.place = '20';
  await session.commit();
  expect(env.statements()).toHaveLength(1);
});
