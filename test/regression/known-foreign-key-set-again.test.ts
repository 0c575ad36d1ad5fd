import { Boat, Harbour, harbours } from './harbours.js';

const port = harbours();

const stored = (): Promise<object[]> => port.env.database.query('SELECT name, harbour_id FROM boats ORDER BY name');

// What is set to the foreign key that the row has anyway was taken for a change against the collection.
test('a relation that is not loaded, set to null where it is null, does not contradict the collection that the object is put into', async () => {
  const session = port.env.factory.open();
  const harbour = await session.findOneOrFail(Harbour, { where: { id: 2 }, relations: { boats: true } });
  const boat = await session.findOneOrFail(Boat, { where: { name: 'free' } });
  boat.harbour = null;
  harbour.boats.push(boat);
  await session.commit();
  expect(await stored()).toContainEqual({ name: 'free', harbour_id: 2 });
  expect(boat.harbour).toBe(harbour);
  await session.close();
});

test('nor does one that is set to the object that the foreign key refers to', async () => {
  const session = port.env.factory.open();
  const [first, second] = await session.getManyOrFail(Harbour, [1, 2]);
  await session.load([second], { relations: { boats: true } });
  const boat = await session.findOneOrFail(Boat, { where: { name: 'moored' } });
  boat.harbour = first;
  second.boats.push(boat);
  await session.commit();
  expect(await stored()).toContainEqual({ name: 'moored', harbour_id: 2 });
  expect(boat.harbour).toBe(second);
  boat.name = 'renamed';
  await session.commit();
  expect(await stored()).toContainEqual({ name: 'renamed', harbour_id: 2 });
  await session.close();
});

test('one that is set to something else does, as before', async () => {
  const session = port.env.factory.open();
  const [first, second] = await session.getManyOrFail(Harbour, [1, 2]);
  await session.load([second], { relations: { boats: true } });
  const boat = await session.findOneOrFail(Boat, { where: { name: 'free' } });
  boat.harbour = first;
  second.boats.push(boat);
  await expect(session.flush()).rejects.toMatchObject({ code: 'UOW_RELATION_CONFLICT' });
  await session.close();
});
