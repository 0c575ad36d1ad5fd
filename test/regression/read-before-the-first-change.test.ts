import { Boat, Harbour, harbours } from './harbours.js';

const port = harbours();

// `expire` was taken for the first change of a unit of work, so a rollback took back what was read after it, too.
test.each([
  [
    'an object',
    (session: typeof port.env.session, boat: Boat) => {
      session.expire(boat);
    },
  ],
  [
    'one property of an object',
    (session: typeof port.env.session, boat: Boat) => {
      session.expire(boat, ['harbour']);
    },
  ],
  [
    'all',
    (session: typeof port.env.session) => {
      session.expireAll();
    },
  ],
])('what was read after expiring %s, and before the first change, stays after a rollback', async (_, expire) => {
  const session = port.env.factory.open();
  const boats = await session.find(Boat, { order: { name: 'ASC' } });
  for (const boat of boats) expire(session, boat);
  await session.load(boats, { relations: ['harbour'] });
  const [free, moored] = boats as [Boat, Boat];
  const { harbour } = moored;
  expect(harbour).toBeInstanceOf(Harbour);
  session.add(Object.assign(new Boat(), { name: 'new' }));
  free.name = 'changed';
  await session.flush();
  await session.rollback();
  expect(free).toEqual({ id: 1, name: 'free', harbour: null });
  expect(moored.harbour).toBe(harbour);
  await session.close();
});

test('so does what was read in a savepoint before the first change', async () => {
  const session = port.env.factory.open();
  const harbour = await session.getOrFail(Harbour, 1);
  const savepoint = await session.beginNested();
  await session.load([harbour], { relations: ['boats'] });
  const { boats } = harbour;
  expect(boats).toMatchObject([{ name: 'moored' }]);
  await savepoint.commit();
  boats[0]!.name = 'changed';
  await session.flush();
  await session.rollback();
  expect(harbour.boats).toBe(boats);
  expect(boats).toMatchObject([{ name: 'moored' }]);
  await session.close();
});
