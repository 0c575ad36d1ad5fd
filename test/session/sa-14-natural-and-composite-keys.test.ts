import type { DbSession } from '../../libs/uow/src/session/db-session.js';
import { CASE_ENTITIES, EMPTY_ALL, Membership, NaturalAddress, NaturalUser } from './case-entities.js';
import { SessionUnderTest } from './session-under-test.js';

let env: SessionUnderTest;
let session: DbSession;

beforeAll(async () => {
  env = await SessionUnderTest.start({ entities: CASE_ENTITIES });
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  await env.database.query(EMPTY_ALL);
  await env.database.query(`INSERT INTO natural_users (username, fullname) VALUES ('jack', 'jack')`);
  await env.database.query(`INSERT INTO natural_addresses (email, username) VALUES ('j@a', 'jack')`);
  await env.database.query(`INSERT INTO memberships VALUES (1, 'gold', 'x')`);
  session = env.factory.open();
  env.sent();
});
afterEach(async () => {
  await session.close();
});

test('SA-300: a changed key is an UPDATE; get of the new key gives the same instance without SQL, of the old one null', async () => {
  await session.begin();
  const jack = await session.getOrFail(NaturalUser, 'jack');
  jack.username = 'ed';
  env.sent();
  await session.flush();
  expect(env.statements()).toEqual([expect.stringContaining('UPDATE "natural_users"')]);
  expect(await session.get(NaturalUser, 'ed')).toBe(jack);
  expect(env.statements()).toEqual([]);
  expect(await session.get(NaturalUser, 'jack')).toBeNull();
  await session.commit();
  expect(await env.database.query('SELECT username FROM natural_users')).toEqual([{ username: 'ed' }]);
});

test('SA-300: a rollback gives the object its key back', async () => {
  const jack = await session.getOrFail(NaturalUser, 'jack');
  jack.username = 'ed';
  await session.flush();
  await session.rollback();
  expect(jack.username).toBe('jack');
  expect(await session.get(NaturalUser, 'jack')).toBe(jack);
});

test('SA-300: foreign keys follow where the database cascades, and the next read shows it', async () => {
  const [address] = await session.find(NaturalAddress, { relations: { user: true } });
  address!.user!.username = 'ed';
  await session.commit();
  const again = await session.findOneOrFail(NaturalAddress, { where: { email: 'j@a' }, relations: { user: true } });
  expect(again).toBe(address);
  expect(again.user!.username).toBe('ed');
  expect(session.isModified(again)).toBe(false);
});

test('SA-300: a part of a composite key can change', async () => {
  await session.begin();
  const membership = await session.getOrFail(Membership, { userId: 1, status: 'gold' });
  membership.status = 'silver';
  await session.flush();
  env.sent();
  expect(await session.get(Membership, { userId: 1, status: 'silver' })).toBe(membership);
  expect(env.statements()).toEqual([]);
  expect(await session.get(Membership, { userId: 1, status: 'gold' })).toBeNull();
});

test('SA-301: the key of an expired object can be changed', async () => {
  const jack = await session.getOrFail(NaturalUser, 'jack');
  session.expire(jack);
  jack.username = 'ed';
  await session.commit();
  expect(await session.get(NaturalUser, 'ed')).toBe(jack);
  expect(jack.fullname).toBe('jack');
});

test('SA-303: after the key was changed by somebody else, refresh says that the row is gone', async () => {
  const jack = await session.getOrFail(NaturalUser, 'jack');
  await env.database.query(`UPDATE natural_users SET username = 'jack2' WHERE username = 'jack'`);
  await expect(session.refresh(jack)).rejects.toMatchObject({ code: 'UOW_ENTITY_NOT_FOUND' });
});

test('SA-305: a parent made transient and given another key leaves its children’s foreign keys alone', async () => {
  const [address] = await session.find(NaturalAddress, { relations: { user: true } });
  const jack = address!.user!;
  session.makeTransient(jack);
  jack.username = 'ed';
  await session.commit();
  expect(await env.database.query('SELECT username FROM natural_addresses')).toEqual([{ username: 'jack' }]);
});
