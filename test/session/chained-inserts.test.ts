import { Column, Entity, ManyToOne, OneToMany, PrimaryColumn, PrimaryGeneratedColumn, VersionColumn } from 'typeorm';
import type { DbSession } from '../../libs/uow/src/session/db-session.js';
import { batches } from '../support/tried-options.js';
import { Address, Item, Keyword, Node, SA_ENTITIES, SA_TABLES, User } from './sa-entities.js';
import { SessionUnderTest } from './session-under-test.js';

@Entity('invoice')
class Invoice {
  @PrimaryGeneratedColumn('uuid')
  id!: string;

  @Column('text')
  title!: string;

  @OneToMany(() => Line, (line) => line.invoice)
  lines!: Line[];
}

@Entity('line')
class Line {
  @PrimaryColumn('int')
  position!: number;

  @ManyToOne(() => Invoice, (invoice) => invoice.lines, { nullable: false })
  @PrimaryColumn('uuid', { name: 'invoiceId' })
  invoice!: Invoice;

  @Column('numeric', { precision: 10, scale: 2, default: 0 })
  price!: string;

  @VersionColumn()
  version!: number;
}

let env: SessionUnderTest;
let session: DbSession;

beforeAll(async () => {
  env = await SessionUnderTest.start({ entities: [...SA_ENTITIES, Invoice, Line] });
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  await env.database.query(`TRUNCATE ${SA_TABLES}, invoice, line RESTART IDENTITY CASCADE`);
  session = env.factory.open();
  env.sent();
});
afterEach(async () => {
  await session.close();
});

test('a parent and its children are one statement, and one round trip with BEGIN and COMMIT', async () => {
  session.add(User.named('ed', Address.of('a'), Address.of('b')));
  const recording = await env.proxy.record(() => session.commit());
  if (!batches) return;
  expect(recording.sql).toEqual([
    'BEGIN',
    expect.stringMatching(/INSERT INTO "users".*INSERT INTO "addresses"/),
    'COMMIT',
  ]);
  expect(recording.roundTrips).toBe(1);
});

test('each of many children gets the key of its own parent', async () => {
  const users = Array.from({ length: 40 }, (_, u) =>
    User.named(`u${u}`, ...Array.from({ length: 5 }, (_, a) => Address.of(`u${u} a${a}`))),
  );
  // Children of different parents in no order at all.
  session.addAll(users.flatMap(({ addresses }) => addresses).sort((x, y) => x.email.localeCompare(y.email)));
  session.addAll(users);
  await session.commit();
  const rows = await env.database.query<{ name: string; email: string }>(
    'SELECT u.name, a.email FROM addresses a JOIN users u ON u.id = a.user_id',
  );
  expect(rows).toHaveLength(200);
  expect(rows.filter(({ name, email }) => !email.startsWith(`${name} `))).toEqual([]);
  const ids = await env.database.query('SELECT id, email FROM addresses ORDER BY id');
  const objects = users.flatMap(({ addresses }) => addresses).map(({ id, email }) => ({ id, email }));
  expect(objects.sort((x, y) => x.id - y.id)).toEqual(ids);
});

// One row, a handful, and more than a handful are written in different ways.
test.each([
  [1, 1],
  [1, 5],
  [2, 2],
  [1, 6],
  [3, 3],
  [2, 9],
])('%i parents with %i children each: rows, keys and the order of keys are those of the objects', async (u, a) => {
  const users = Array.from({ length: u }, (_, at) =>
    User.named(`u${at}`, ...Array.from({ length: a }, (_, child) => Address.of(`u${at} a${child}`))),
  );
  session.addAll(users);
  await session.commit();
  if (batches) expect(env.statements()).toHaveLength(1);
  const rows = await env.database.query(
    'SELECT a.id, a.email, a.user_id, u.name FROM addresses a JOIN users u ON u.id = a.user_id ORDER BY a.id',
  );
  expect(rows).toEqual(
    users.flatMap((user) => user.addresses.map(({ id, email }) => ({ id, email, user_id: user.id, name: user.name }))),
  );
});

describe('a row that a trigger swallows', () => {
  beforeAll(async () => {
    await env.database.query(
      `CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         IF NEW.email = 'a0' THEN RETURN NULL; END IF; RETURN NEW; END $$;
       CREATE TRIGGER swallow BEFORE INSERT ON addresses FOR EACH ROW EXECUTE FUNCTION swallow()`,
    );
  });
  afterAll(async () => {
    await env.database.query('DROP TRIGGER swallow ON addresses; DROP FUNCTION swallow');
  });

  const addresses = (count: number): Address[] => Array.from({ length: count }, (_, at) => Address.of(`a${at}`));

  test.each([
    ['one of one', () => addresses(1), 1],
    ['one of a few', () => addresses(3), 3],
    ['one of many', () => addresses(30), 30],
    ['the child of a new parent', () => [User.named('ed', ...addresses(1))], 1],
    ['one of the children of a new parent', () => [User.named('ed', ...addresses(4))], 4],
    ['one of the many children of a new parent', () => [User.named('ed', ...addresses(30))], 30],
  ])('%s: the COMMIT that travels along is not carried out', async (_, objects, sent) => {
    session.addAll(objects());
    await expect(session.commit()).rejects.toThrow(
      `INSERT INTO "addresses" was sent for ${sent} row(s), and the database reports ${sent - 1} row(s)`,
    );
    expect(await env.database.query('SELECT 1 FROM users UNION ALL SELECT 1 FROM addresses')).toEqual([]);
    expect(session.new).toHaveLength(0);
  });
});

test('DEFAULT stands for a value of the child of a new parent', async () => {
  const line = Object.assign(new Line(), { position: 1, price: (() => 'DEFAULT') as never });
  const invoice = Object.assign(new Invoice(), { title: 'one', lines: [line] });
  session.addAll([invoice, line]);
  await session.commit();
  expect(line.price).toBe('0.00');
  expect(await env.database.query('SELECT position, price, "invoiceId" FROM line')).toEqual([
    { position: 1, price: '0.00', invoiceId: invoice.id },
  ]);
});

test.each([1, 30])(
  'a new parent that a trigger swallows, of %i children: it is the parent that the error names',
  async (children) => {
    await env.database.query(
      `CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
     CREATE TRIGGER swallow BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION swallow()`,
    );
    try {
      const addresses = Array.from({ length: children }, (_, at) => Address.of(`a${at}`));
      session.add(User.named('ed', ...addresses));
      await expect(session.commit()).rejects.toThrow(
        'INSERT INTO "users" was sent for 1 row(s), and the database reports 0 row(s)',
      );
    } finally {
      await env.database.query('DROP TRIGGER swallow ON users; DROP FUNCTION swallow');
    }
    expect(await env.database.query('SELECT 1 FROM users UNION ALL SELECT 1 FROM addresses')).toEqual([]);
  },
);

test('both ends of a many-to-many relation and their join rows are one statement', async () => {
  const red = Keyword.of('red');
  session.addAll([Item.of('one', red), Item.of('two', red, Keyword.of('blue'))]);
  await session.commit();
  if (batches) expect(env.statements()).toHaveLength(1);
  expect(
    await env.database.query(
      'SELECT i.description, k.name FROM item_keywords JOIN items i ON i.id = item_id JOIN keywords k ON k.id = keyword_id ORDER BY 1, 2',
    ),
  ).toEqual([
    { description: 'one', name: 'red' },
    { description: 'two', name: 'blue' },
    { description: 'two', name: 'red' },
  ]);
});

test('a tree is one statement, and its keys grow from level to level', async () => {
  session.add(Node.of('0', Node.of('0.0', Node.of('0.0.0')), Node.of('0.1', Node.of('0.1.0'), Node.of('0.1.1'))));
  await session.commit();
  if (batches) expect(env.statements()).toHaveLength(1);
  const rows = await env.database.query<{ data: string; parent: string | null }>(
    'SELECT n.data, p.data AS parent FROM nodes n LEFT JOIN nodes p ON p.id = n.parent_id ORDER BY n.id',
  );
  expect(rows.map(({ data }) => data.length)).toEqual([1, 3, 3, 5, 5, 5]);
  expect(rows.filter(({ data, parent }) => data.slice(0, -2) !== (parent ?? ''))).toEqual([]);
});

test.each([3, 9])(
  'keys that are foreign keys too, uuids, defaults and versions come back to %i objects',
  async (count) => {
    const invoice = Object.assign(new Invoice(), { title: 'first' });
    invoice.lines = Array.from({ length: count }, (_, at) =>
      Object.assign(new Line(), { position: at + 1, ...(at === 1 ? { price: '5.50' } : {}) }),
    );
    session.add(invoice);
    await session.commit();
    expect(invoice.id).toMatch(/^[0-9a-f-]{36}$/);
    expect(invoice.lines.map(({ price, version }) => [price, version])).toEqual(
      invoice.lines.map((_, at) => [at === 1 ? '5.50' : '0.00', 1]),
    );
    expect(await session.get(Line, { position: 2, invoice })).toBe(invoice.lines[1]);
  },
);

test('a child whose parent is not new, beside one whose parent is', async () => {
  const old = User.named('old');
  session.add(old);
  await session.commit();
  env.sent();
  session.addAll([Address.of('a', old), Address.of('b', User.named('new'))]);
  await session.commit();
  expect(
    await env.database.query('SELECT a.email, u.name FROM addresses a JOIN users u ON u.id = a.user_id ORDER BY 1'),
  ).toEqual([
    { email: 'a', name: 'old' },
    { email: 'b', name: 'new' },
  ]);
});

test('an error of any link leaves nothing, and names the table', async () => {
  session.add(User.named('ed', Object.assign(Address.of('a'), { email: null })));
  await expect(session.commit()).rejects.toMatchObject({
    code: 'UOW_NOT_NULL_VIOLATION',
    table: 'addresses',
    column: 'email',
  });
  expect(await env.database.query('SELECT * FROM users')).toEqual([]);
});
