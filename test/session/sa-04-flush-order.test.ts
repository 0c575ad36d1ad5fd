import type { DbSession } from '../../libs/uow/src/session/db-session.js';
import { Address, Ball, Item, Keyword, Node, NUser, Person, PK2, SA_ENTITIES, SA_TABLES, User } from './sa-entities.js';
import { SessionUnderTest } from './session-under-test.js';

let env: SessionUnderTest;
let session: DbSession;

beforeAll(async () => {
  env = await SessionUnderTest.start({ entities: SA_ENTITIES });
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  await env.database.query(`TRUNCATE ${SA_TABLES} RESTART IDENTITY CASCADE`);
  session = env.factory.open();
  env.sent();
});
afterEach(async () => {
  await session.close();
});

const stored = async (...objects: object[]): Promise<void> => {
  session.addAll(objects);
  await session.commit();
  env.sent();
};
/** As `stored`, with the transaction still open: nothing is expired, as in SQLAlchemy's own tests. */
const flushed = async (...objects: object[]): Promise<void> => {
  session.addAll(objects);
  await session.flush();
  env.sent();
};
const rows = (sql: string): Promise<Record<string, unknown>[]> => env.database.query(sql);
const ADDRESSES = 'SELECT email, user_id FROM addresses ORDER BY id';
const NODES = 'SELECT data, parent_id FROM nodes ORDER BY id';

/** The table that each statement writes, with what it does. */
const written = (): string[] =>
  env.statements().map((sql) => {
    const all = [...sql.matchAll(/(INSERT INTO|UPDATE|DELETE FROM) "(\w+)"/g)];
    return all.length === 0 ? sql : all.map(([, verb, table]) => `${verb!.split(' ')[0]!} ${table!}`).join(' + ');
  });
/** How many statements it took, which is no more than SQLAlchemy needs. */
const expectAtMost = (count: number): void => {
  const texts = written();
  if (texts.length > count) expect(texts).toHaveLength(count);
};

test('SA-100: a new parent with two new children takes one INSERT for each table, keys set from the generated one', async () => {
  const user = User.named('ed', Address.of('a'), Address.of('b'));
  session.add(user);
  await session.commit();
  expectAtMost(2);
  expect(await rows(ADDRESSES)).toEqual([
    { email: 'a', user_id: 1 },
    { email: 'b', user_id: 1 },
  ]);
  expect(user.addresses.map((address) => address.userId)).toEqual([1, 1]);
  expect(user.addresses[0]!.user).toBe(user);
});

test('SA-101: children that refer to a new parent bring it along, and it is inserted first', async () => {
  const user = User.named('ed');
  session.addAll([Address.of('a', user), Address.of('b', user)]);
  await session.commit();
  expectAtMost(2);
  expect(await rows(ADDRESSES)).toEqual([
    { email: 'a', user_id: 1 },
    { email: 'b', user_id: 1 },
  ]);
});

test('SA-102: deleting a parent and its children takes one DELETE for each table, children first', async () => {
  const user = User.named('ed', Address.of('a'), Address.of('b'));
  user.orders = [];
  await flushed(user);
  session.deleteAll([user, ...user.addresses]);
  await session.commit();
  expect(written()).toEqual(['DELETE addresses', 'DELETE users']);
});

test('SA-103: deleting a parent without a cascade sets its children’s nullable keys null first', async () => {
  const user = User.named('ed', Address.of('a'), Address.of('b'));
  user.orders = [];
  await flushed(user);
  session.delete(user);
  await session.commit();
  expectAtMost(2);
  expect(await rows(ADDRESSES)).toEqual([
    { email: 'a', user_id: null },
    { email: 'b', user_id: null },
  ]);
});

test('SA-104: deleting a parent whose children were let go', async () => {
  const user = User.named('ed', Address.of('a'), Address.of('b'));
  await flushed(user);
  for (const address of [...user.addresses]) address.user = null;
  session.delete(user);
  await session.commit();
  expect(await rows(ADDRESSES)).toEqual([
    { email: 'a', user_id: null },
    { email: 'b', user_id: null },
  ]);
  expect(await rows('SELECT * FROM users')).toEqual([]);
});

test('SA-105: expired objects are deleted without being read first', async () => {
  const user = User.named('ed', Address.of('a'), Address.of('b'));
  await stored(user);
  session.deleteAll([user, ...user.addresses]);
  await session.flush();
  expectAtMost(5);
});

test('SA-106: deleting a parent whose children are not loaded sets their keys null without loading them', async () => {
  await stored(User.named('ed', Address.of('a'), Address.of('b')));
  await session.close();
  const user = (await session.find(User))[0]!;
  env.sent();
  session.delete(user);
  await session.commit();
  expectAtMost(3);
  expect(await rows(ADDRESSES)).toEqual([
    { email: 'a', user_id: null },
    { email: 'b', user_id: null },
  ]);
});

test('SA-108: rows of one class connected by raw values go in one INSERT, in the order of add', async () => {
  session.addAll(['c', 'a', 'b'].map((data) => Node.of(data)));
  await session.commit();
  expect(written()).toEqual(['INSERT nodes']);
  expect((await rows(NODES)).map(({ data }) => data)).toEqual(['c', 'a', 'b']);
});

test('SA-109: a tree is inserted level by level', async () => {
  session.add(Node.of('root', Node.of('left'), Node.of('right')));
  await session.commit();
  expectAtMost(2);
  expect(await rows(NODES)).toEqual([
    { data: 'root', parent_id: null },
    { data: 'left', parent_id: 1 },
    { data: 'right', parent_id: 1 },
  ]);
});

test('SA-111: deleting a whole tree', async () => {
  const root = Node.of('root', Node.of('left', Node.of('leaf')), Node.of('right'));
  await flushed(root);
  session.deleteAll([root, ...root.children, ...root.children[0]!.children]);
  await session.commit();
  expectAtMost(2);
  expect(await rows(NODES)).toEqual([]);
});

test('SA-112: deleting the root alone lets its children go', async () => {
  const root = Node.of('root', Node.of('left'), Node.of('right'));
  await flushed(root);
  session.delete(root);
  await session.commit();
  expectAtMost(2);
  expect(await rows(NODES)).toEqual([
    { data: 'left', parent_id: null },
    { data: 'right', parent_id: null },
  ]);
});

test('SA-113: a reference that was never loaded can be set null without reading what it referred to', async () => {
  await stored(Node.of('root', Node.of('leaf')));
  await session.close();
  const leaf = (await session.findOne(Node, { where: { data: 'leaf' } }))!;
  env.sent();
  leaf.parent = null;
  await session.commit();
  expect(written()).toEqual(['UPDATE nodes']);
  expect(await rows(NODES)).toEqual([
    { data: 'root', parent_id: null },
    { data: 'leaf', parent_id: null },
  ]);
});

test('SA-115: a new many-to-many pair takes three INSERTs', async () => {
  session.add(Item.of('item', Keyword.of('red')));
  await session.commit();
  expectAtMost(3);
  expect(await rows('SELECT * FROM item_keywords')).toEqual([{ item_id: 1, keyword_id: 1 }]);
});

test('SA-116: emptying a many-to-many collection deletes its rows, and nothing else', async () => {
  const item = Item.of('item', Keyword.of('red'), Keyword.of('blue'));
  await flushed(item);
  item.keywords = [];
  await session.commit();
  expect(written()).toEqual(['DELETE item_keywords']);
  expect(await rows('SELECT count(*)::int AS n FROM keywords')).toEqual([{ n: 2 }]);
});

test('SA-118: deleting an object deletes its rows of join tables, and the other side stays', async () => {
  const item = Item.of('item', Keyword.of('red'));
  await flushed(item);
  session.delete(item);
  await session.commit();
  expect(await rows('SELECT * FROM item_keywords')).toEqual([]);
  expect(await rows('SELECT count(*)::int AS n FROM keywords')).toEqual([{ n: 1 }]);
});

test('SA-119: moving children writes the children, and of the parents only the one that changed itself', async () => {
  const [a1, a2, a3] = [Address.of('a1'), Address.of('a2'), Address.of('a3')];
  const [u1, u2] = [User.named('u1', a1, a2), User.named('u2', a3)];
  await flushed(u1, u2);
  u2.addresses = [];
  u1.addresses.push(a3);
  u1.addresses.splice(u1.addresses.indexOf(a1), 1);
  u2.name = 'u2 modified';
  await session.commit();
  expectAtMost(2);
  expect(await rows(ADDRESSES)).toEqual([
    { email: 'a1', user_id: null },
    { email: 'a2', user_id: 1 },
    { email: 'a3', user_id: 1 },
  ]);
  expect(await rows('SELECT name FROM users ORDER BY id')).toEqual([{ name: 'u1' }, { name: 'u2 modified' }]);
});

test('SA-121: two tables that refer to each other: inserted with one later UPDATE, deleted with one before', async () => {
  const person = Object.assign(new Person(), { data: 'some data' });
  const balls = [1, 2, 3].map((n) => Object.assign(new Ball(), { data: `ball ${n}`, person }));
  person.balls = balls;
  person.favorite = balls[0]!;
  session.addAll([person, ...balls]);
  await session.flush();
  expectAtMost(3);
  expect(await session.sql`SELECT favorite_ball_id FROM person`).toEqual([{ favorite_ball_id: 1 }]);
  expect(await session.sql`SELECT person_id FROM ball`).toEqual([{ person_id: 1 }, { person_id: 1 }, { person_id: 1 }]);
  env.sent();
  session.deleteAll([person, ...balls]);
  await session.commit();
  expectAtMost(3);
  expect(await rows('SELECT * FROM person, ball')).toEqual([]);
});

test('SA-124: a row switch inside a self-referential tree works', async () => {
  const root = Object.assign(Node.of('root', Object.assign(Node.of('leaf'), { id: 2 })), { id: 1 });
  await stored(root);
  const replacement = Object.assign(Node.of('new leaf'), { id: 2, parent: root });
  session.delete(root.children[0]!);
  session.add(replacement);
  await session.commit();
  expect(await rows(NODES)).toEqual([
    { data: 'root', parent_id: null },
    { data: 'new leaf', parent_id: 1 },
  ]);
});

test('SA-125: rows of one shape share an INSERT, whatever stands between them', async () => {
  const make = (given: object): PK2 => Object.assign(new PK2(), given);
  session.addAll([
    make({ userId: 1, status: 'a' }),
    make({ userId: 2, status: 'a' }),
    make({ userId: 3, status: 'a', note: 'x' }),
    make({ userId: 4, status: 'a' }),
    make({ userId: 5, status: () => `'b' || 'c'` }),
  ]);
  await session.commit();
  expectAtMost(4);
  expect(await rows('SELECT user_id, status, note FROM pk2 ORDER BY user_id')).toEqual([
    { user_id: 1, status: 'a', note: null },
    { user_id: 2, status: 'a', note: null },
    { user_id: 3, status: 'a', note: 'x' },
    { user_id: 4, status: 'a', note: null },
    { user_id: 5, status: 'bc', note: null },
  ]);
});

test('SA-127: objects of one class get their keys in the order of add', async () => {
  const users = Array.from({ length: 50 }, (_, at) => User.named(`user ${at}`));
  session.addAll(users);
  await session.flush();
  expect(users.map(({ id }) => id)).toEqual(users.map((_, at) => at + 1));
});

test('SA-128: relations that are not loaded, or have not changed, cost no statement', async () => {
  const user = User.named('ed', Address.of('a'));
  await flushed(user);
  user.name = 'jack';
  await session.commit();
  expect(written()).toEqual(['UPDATE users']);
});

test('a natural key is set on the children that refer to it', async () => {
  const user = Object.assign(new NUser(), { username: 'ed', fullname: 'Ed' });
  session.add(user);
  await session.commit();
  expect(await session.get(NUser, 'ed')).toBe(user);
});
