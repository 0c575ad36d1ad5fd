import { setTimeout as pause } from 'node:timers/promises';
import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { SessionUnderTest } from '../session/session-under-test.js';

@Entity('parcels')
class Parcel {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column('text')
  name!: string;

  static named(name: string): Parcel {
    return Object.assign(new Parcel(), { name });
  }
}

let env: SessionUnderTest;

beforeAll(async () => {
  env = await SessionUnderTest.start({ entities: [Parcel] });
});
afterAll(async () => {
  await env.stop();
});

// A statement that was under way when its session was closed went out behind the ROLLBACK, by itself, and stayed; and
// objects whose COMMIT had gone well were told of a rollback.
test.each(['flush', 'commit', 'find'] as const)(
  'a session that is closed during %s() leaves all of its work or none, and says which',
  async (operation) => {
    for (let round = 0; round < 20; round++) {
      await env.database.query('TRUNCATE parcels');
      const session = env.factory.open();
      const hasBegun = round % 2 === 0;
      if (hasBegun) {
        session.add(Parcel.named('first'));
        await session.flush();
      }
      session.add(Parcel.named('second'));
      const running = operation === 'find' ? session.find(Parcel) : session[operation]();
      const outcome = running.then(
        () => 'done',
        (error: unknown) => (error as { code?: string }).code,
      );
      // At any point between the call and its end.
      if (round % 5 > 0) await pause((round % 5) - 1);
      await env.factory.closeAll();
      expect(['done', 'UOW_TRANSACTION_CLOSED']).toContain(await outcome);
      const isCommitted = operation === 'commit' && (await outcome) === 'done';
      expect(await env.database.query('SELECT name FROM parcels ORDER BY name')).toEqual(
        isCommitted ? [...(hasBegun ? [{ name: 'first' }] : []), { name: 'second' }] : [],
      );
      expect(env.core.heldConnections).toBe(0);
    }
  },
);

// What a branch had begun while close() was rolling back was cleared in the middle of its flush.
test('a session that is closed while another branch begins a transaction ends that one, too', async () => {
  const session = env.factory.open();
  session.add(Parcel.named('first'));
  const running = session
    .transaction(async () => {
      session.add(Parcel.named('second'));
      await session.flush();
    })
    .catch((error: unknown) => error);
  await session.close();
  expect(await running).toMatchObject({ code: 'UOW_TRANSACTION_CLOSED' });
  await session.close();
  expect(env.core.heldConnections).toBe(0);
  expect(await env.database.query('SELECT name FROM parcels')).toEqual([]);
});
