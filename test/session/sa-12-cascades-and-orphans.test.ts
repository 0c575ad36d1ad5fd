import {
  Column,
  Entity,
  JoinColumn,
  ManyToOne,
  OneToMany,
  OneToOne,
  PrimaryGeneratedColumn,
  DeleteDateColumn,
} from 'typeorm';
import type { DbSession } from '../../libs/uow/src/session/db-session.js';
import { Address, CASE_ENTITIES, EMPTY_ALL, Foo, Item, Keyword, Order, TreeNode, User } from './case-entities.js';
import { SessionUnderTest } from './session-under-test.js';

/** Its notes are deleted by the database, its seats lose it, its log refuses that it goes. */
@Entity('rooms')
class Room {
  @PrimaryGeneratedColumn('identity', { type: 'integer', generatedIdentity: 'BY DEFAULT' })
  id!: number;

  @OneToMany(() => Note, (note) => note.room)
  notes!: Note[];

  @OneToMany(() => Seat, (seat) => seat.room)
  seats!: Seat[];

  @OneToMany(() => Entry, (entry) => entry.room)
  entries!: Entry[];

  @OneToOne(() => Key, (key) => key.room, { cascade: ['remove'] })
  key!: Key | null;

  @OneToMany(() => Lamp, (lamp) => lamp.room)
  lamps!: Lamp[];

  @OneToMany(() => Door, (door) => door.room)
  doors!: Door[];
}

@Entity('notes')
class Note {
  @PrimaryGeneratedColumn('identity', { type: 'integer', generatedIdentity: 'BY DEFAULT' })
  id!: number;

  @ManyToOne(() => Room, (room) => room.notes, { nullable: false, onDelete: 'CASCADE' })
  @JoinColumn({ name: 'room_id' })
  room!: Room;

  @OneToMany(() => Comment, (comment) => comment.note)
  comments!: Comment[];
}

@Entity('comments')
class Comment {
  @PrimaryGeneratedColumn('identity', { type: 'integer', generatedIdentity: 'BY DEFAULT' })
  id!: number;

  @ManyToOne(() => Note, (note) => note.comments, { nullable: false, onDelete: 'CASCADE' })
  @JoinColumn({ name: 'note_id' })
  note!: Note;
}

@Entity('seats')
class Seat {
  @PrimaryGeneratedColumn('identity', { type: 'integer', generatedIdentity: 'BY DEFAULT' })
  id!: number;

  @Column('integer', { name: 'room_id', nullable: true })
  roomId!: number | null;

  @ManyToOne(() => Room, (room) => room.seats, { nullable: true, onDelete: 'SET NULL' })
  @JoinColumn({ name: 'room_id' })
  room!: Room | null;
}

@Entity('entries')
class Entry {
  @PrimaryGeneratedColumn('identity', { type: 'integer', generatedIdentity: 'BY DEFAULT' })
  id!: number;

  @ManyToOne(() => Room, (room) => room.entries, { nullable: true, onDelete: 'RESTRICT' })
  @JoinColumn({ name: 'room_id' })
  room!: Room | null;
}

@Entity('keys')
class Key {
  @PrimaryGeneratedColumn('identity', { type: 'integer', generatedIdentity: 'BY DEFAULT' })
  id!: number;

  @OneToOne(() => Room, (room) => room.key, { nullable: true })
  @JoinColumn({ name: 'room_id' })
  room!: Room | null;
}

/** A lamp that is taken out of its room is kept as deleted. */
@Entity('lamps')
class Lamp {
  @PrimaryGeneratedColumn('identity', { type: 'integer', generatedIdentity: 'BY DEFAULT' })
  id!: number;

  @DeleteDateColumn({ name: 'gone_at', type: 'timestamptz' })
  goneAt!: Date | null;

  @ManyToOne(() => Room, (room) => room.lamps, { nullable: true, orphanedRowAction: 'soft-delete' })
  @JoinColumn({ name: 'room_id' })
  room!: Room | null;
}

/** A door stays where it is, whatever a list of doors says. */
@Entity('doors')
class Door {
  @PrimaryGeneratedColumn('identity', { type: 'integer', generatedIdentity: 'BY DEFAULT' })
  id!: number;

  @ManyToOne(() => Room, (room) => room.doors, { nullable: true, orphanedRowAction: 'disable' })
  @JoinColumn({ name: 'room_id' })
  room!: Room | null;
}

let env: SessionUnderTest;
let session: DbSession;

beforeAll(async () => {
  env = await SessionUnderTest.start({
    entities: [...CASE_ENTITIES, Room, Note, Comment, Seat, Entry, Key, Lamp, Door],
  });
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  await env.database.query(EMPTY_ALL);
  await env.database.query(
    'TRUNCATE rooms, notes, comments, seats, entries, keys, lamps, doors RESTART IDENTITY CASCADE',
  );
  session = env.factory.open();
  env.sent();
});
afterEach(async () => {
  await session.close();
});

/** An object as if just made, with values. */
function made<T extends object>(target: new () => T, values: Partial<T> = {}): T {
  return Object.assign(new target(), values);
}

/** Stores objects, and leaves the session as if it had not met them. */
async function stored(...objects: object[]): Promise<void> {
  session.addAll(objects);
  await session.commit();
  session.expungeAll();
  env.sent();
}

const emails = async (): Promise<unknown[]> => env.database.query('SELECT email, user_id FROM addresses ORDER BY id');

describe('save-update', () => {
  test('SA-260: adding an object adds what its collections hold', async () => {
    const ed = new User({ name: 'ed', addresses: [new Address({ email: 'a' }), new Address({ email: 'b' })] });
    session.add(ed);
    expect(session.new).toEqual([ed, ...ed.addresses]);
    await session.commit();
    expect(await emails()).toEqual([
      { email: 'a', user_id: 1 },
      { email: 'b', user_id: 1 },
    ]);
  });

  test('SA-260: a new object put into a loaded collection is pending at the flush, and inserted', async () => {
    await stored(new User({ name: 'ed', addresses: [] }));
    const ed = await session.findOneOrFail(User, { where: { id: 1 }, relations: { addresses: true } });
    const added = new Address({ email: 'a' });
    ed.addresses.push(added);
    await session.flush();
    expect(session.inspect(added).state).toBe('persistent');
    expect(added.user).toBe(ed);
  });

  test('SA-261: referring to an object of the session does not add the one that refers', async () => {
    await stored(new User({ name: 'ed' }));
    const ed = await session.getOrFail(User, 1);
    const outside = new Address({ email: 'outside', user: ed });
    await session.commit();
    expect(session.has(outside)).toBe(false);
    expect(await emails()).toEqual([]);
  });

  test('SA-262: adding a detached owner again handles what was put in and taken out meanwhile', async () => {
    await stored(new User({ name: 'ed', addresses: [new Address({ email: 'a' }), new Address({ email: 'b' })] }));
    const ed = await session.findOneOrFail(User, { where: { id: 1 }, relations: { addresses: true } });
    await session.close();
    session = env.factory.open();
    const [removed] = ed.addresses.splice(0, 1);
    const added = new Address({ email: 'c' });
    ed.addresses.push(added);
    session.add(ed);
    expect(session.has(removed!)).toBe(true);
    expect(session.has(added)).toBe(true);
    await session.commit();
    expect(await emails()).toEqual([
      { email: 'a', user_id: null },
      { email: 'b', user_id: 1 },
      { email: 'c', user_id: 1 },
    ]);
  });
});

describe('deleting', () => {
  test('SA-264: deletion reaches a collection that is not loaded: it is read, then deleted', async () => {
    await stored(new TreeNode({ data: 'root', children: [new TreeNode({ data: 'a' }), new TreeNode({ data: 'b' })] }));
    const root = await session.findOneOrFail(TreeNode, { where: { data: 'root' } });
    session.delete(root);
    env.sent();
    await session.commit();
    expect(await env.database.query('SELECT * FROM nodes')).toEqual([]);
  });

  test('SA-264: deletion goes down level by level, and a rollback brings everything back', async () => {
    const deep = new TreeNode({ data: 'a', children: [new TreeNode({ data: 'aa' })] });
    await stored(new TreeNode({ data: 'root', children: [deep] }));
    const root = await session.findOneOrFail(TreeNode, { where: { data: 'root' } });
    session.delete(root);
    await session.flush();
    expect(await session.count(TreeNode)).toBe(0);
    await session.rollback();
    expect(session.deleted).toEqual([]);
    expect(await session.count(TreeNode)).toBe(3);
  });

  test('a foreign key that may be null is set null without loading its rows, before the parent goes', async () => {
    await stored(new User({ name: 'ed', addresses: [new Address({ email: 'a' }), new Address({ email: 'b' })] }));
    const ed = await session.getOrFail(User, 1);
    session.delete(ed);
    env.sent();
    await session.commit();
    expect(await emails()).toEqual([
      { email: 'a', user_id: null },
      { email: 'b', user_id: null },
    ]);
    expect(env.statements().filter((sql) => sql.includes('"addresses"') && sql.startsWith('SELECT'))).toEqual([]);
  });

  test('children that the session has show that their parent is gone', async () => {
    await stored(new User({ name: 'ed', addresses: [new Address({ email: 'a' }), new Address({ email: 'b' })] }));
    await session.begin();
    const ed = await session.getOrFail(User, 1);
    const [a] = await session.find(Address, { where: { email: 'a' }, relations: { user: true } });
    session.delete(ed);
    await session.flush();
    expect(a!.user).toBeNull();
    expect(session.isModified(a!)).toBe(false);
    await session.commit();
    expect(await emails()).toEqual([
      { email: 'a', user_id: null },
      { email: 'b', user_id: null },
    ]);
  });

  test('a versioned child that is not loaded counts up when its foreign key is set null', async () => {
    await env.database.query(`INSERT INTO foos (version, value) VALUES (1, 'x')`);
    await env.database.query(`INSERT INTO bars (version, foo_id) VALUES (4, 1)`);
    session.delete(await session.getOrFail(Foo, 1));
    await session.commit();
    expect(await env.database.query('SELECT version, foo_id FROM bars')).toEqual([{ version: 5, foo_id: null }]);
  });

  test('a child that was moved to another parent in the same flush stays with it', async () => {
    await stored(
      new User({ name: 'ed', addresses: [new Address({ email: 'a' }), new Address({ email: 'b' })] }),
      new User({ name: 'fred' }),
    );
    const [ed, fred] = await session.getManyOrFail(User, [1, 2]);
    const [a] = await session.find(Address, { where: { email: 'a' } });
    a!.user = fred;
    session.delete(ed);
    await session.commit();
    expect(await emails()).toEqual([
      { email: 'a', user_id: 2 },
      { email: 'b', user_id: null },
    ]);
  });

  test('children of a cascade are deleted with their parent, loaded or not', async () => {
    await stored(new User({ name: 'ed', orders: [new Order({ description: 'a' }), new Order({ description: 'b' })] }));
    const ed = await session.findOneOrFail(User, { where: { id: 1 }, relations: { orders: true } });
    const { orders } = ed;
    session.delete(ed);
    await session.flush();
    expect(orders.map((order) => session.inspect(order).state)).toEqual(['deleted', 'deleted']);
    await session.commit();
    expect(await env.database.query('SELECT * FROM orders')).toEqual([]);
  });

  test('SA-129: rows that the database deletes by itself are read by nobody, and are deleted objects, and a rollback brings them back', async () => {
    const room = made(Room);
    const note = made(Note, { room });
    await stored(room, note, made(Comment, { note }));
    await session.begin();
    const [loaded] = await session.find(Note, { relations: { comments: true } });
    const comment = loaded!.comments[0]!;
    session.delete(await session.getOrFail(Room, 1));
    env.sent();
    await session.flush();
    expect(env.statements().filter((sql) => /"notes"|"comments"/.test(sql))).toEqual([]);
    expect([loaded!, comment].map((object) => session.inspect(object).state)).toEqual(['deleted', 'deleted']);
    await session.rollback();
    expect([loaded!, comment].map((object) => session.inspect(object).state)).toEqual(['persistent', 'persistent']);
    expect(await session.count(Comment)).toBe(1);
  });

  test('foreign keys that the database sets null are null on the objects', async () => {
    const room = made(Room);
    await stored(room, made(Seat, { room }));
    await session.begin();
    const seat = await session.findOneOrFail(Seat, { where: { id: 1 }, relations: { room: true } });
    session.delete(seat.room!);
    await session.flush();
    expect([seat.room, seat.roomId]).toEqual([null, null]);
    expect(session.isModified(seat)).toBe(false);
    await session.rollback();
    expect(seat.roomId).toBe(1);
    expect(seat.room).toBeInstanceOf(Room);
  });

  test('where the mapping says RESTRICT, the database refuses', async () => {
    const room = made(Room);
    await stored(room, made(Entry, { room }));
    session.delete(await session.getOrFail(Room, 1));
    await expect(session.commit()).rejects.toMatchObject({ code: 'UOW_FOREIGN_KEY_VIOLATION' });
  });

  test('a one-to-one relation cascades, too', async () => {
    const room = made(Room);
    await stored(room, made(Key, { room }));
    session.delete(await session.getOrFail(Room, 1));
    await session.commit();
    expect(await env.database.query('SELECT * FROM keys')).toEqual([]);
  });

  test('rows of join tables go with either side, and the other side stays', async () => {
    const red = new Keyword({ name: 'red' });
    await stored(
      new Item({ description: 'one', keywords: [red, new Keyword({ name: 'big' })] }),
      new Item({ description: 'two', keywords: [red] }),
    );
    session.delete(await session.getOrFail(Item, 1));
    session.delete(await session.findOneOrFail(Keyword, { where: { name: 'red' } }));
    await session.commit();
    expect(await env.database.query('SELECT * FROM item_keywords')).toEqual([]);
    expect(await env.database.query('SELECT description FROM items')).toEqual([{ description: 'two' }]);
    expect(await env.database.query('SELECT name FROM keywords')).toEqual([{ name: 'big' }]);
  });

  test('a new object that takes over the key of a deleted one has its own links only', async () => {
    await stored(
      new Item({ description: 'one', keywords: [new Keyword({ name: 'red' }), new Keyword({ name: 'big' })] }),
    );
    const red = await session.findOneOrFail(Keyword, { where: { name: 'red' } });
    session.delete(await session.getOrFail(Item, 1));
    session.add(new Item({ id: 1, description: 'new', keywords: [red] }));
    await session.commit();
    expect(await env.database.query('SELECT item_id, keyword_id FROM item_keywords')).toEqual([
      { item_id: 1, keyword_id: red.id },
    ]);
  });

  test('SA-271: a deleted object stays in other loaded collections until they are read again', async () => {
    await stored(new User({ name: 'ed', addresses: [new Address({ email: 'a' }), new Address({ email: 'b' })] }));
    const ed = await session.findOneOrFail(User, { where: { id: 1 }, relations: { addresses: true } });
    const [a] = ed.addresses;
    session.delete(a!);
    await session.flush();
    expect(ed.addresses).toContain(a);
    env.sent();
    await session.flush();
    expect(env.statements()).toEqual([]);
    session.expire(ed);
    await session.load(ed, { relations: ['addresses'] });
    expect(ed.addresses).not.toContain(a);
  });
});

describe('orphans', () => {
  async function edWithOrders(): Promise<User> {
    await stored(
      new User({ name: 'ed', orders: [new Order({ description: 'a' }), new Order({ description: 'b' })] }),
      new User({ name: 'fred' }),
    );
    return session.findOneOrFail(User, { where: { id: 1 }, relations: { orders: true } });
  }
  const descriptions = async (): Promise<unknown[]> =>
    env.database.query('SELECT description, user_id FROM orders ORDER BY id');

  test('an object taken out of a collection whose children may not be without a parent is deleted', async () => {
    const ed = await edWithOrders();
    const [gone] = ed.orders.splice(0, 1);
    await session.flush();
    expect(session.inspect(gone!).state).toBe('deleted');
    await session.commit();
    expect(await descriptions()).toEqual([{ description: 'b', user_id: 1 }]);
  });

  test('a collection that is replaced lets go of what is not in the new one', async () => {
    const ed = await edWithOrders();
    ed.orders = [ed.orders[1]!, new Order({ description: 'c' })];
    await session.commit();
    expect(await descriptions()).toEqual([
      { description: 'b', user_id: 1 },
      { description: 'c', user_id: 1 },
    ]);
  });

  test('an array assigned to a collection that was not loaded replaces it', async () => {
    await edWithOrders();
    session.expungeAll();
    const ed = await session.getOrFail(User, 1);
    ed.orders = [new Order({ description: 'c' })];
    ed.addresses = [];
    await session.commit();
    expect(await descriptions()).toEqual([{ description: 'c', user_id: 1 }]);
  });

  test('an array assigned to a many-to-many collection that was not loaded replaces its links', async () => {
    const red = new Keyword({ name: 'red' });
    await stored(new Item({ description: 'one', keywords: [red, new Keyword({ name: 'big' })] }));
    const item = await session.getOrFail(Item, 1);
    const kept = await session.findOneOrFail(Keyword, { where: { name: 'red' } });
    item.keywords = [kept, new Keyword({ name: 'new' })];
    await session.commit();
    const names = await env.database.query(
      'SELECT k.name FROM item_keywords AS i JOIN keywords AS k ON k.id = i.keyword_id ORDER BY k.id',
    );
    expect(names).toEqual([{ name: 'red' }, { name: 'new' }]);
  });

  test('an object that goes to another collection is no orphan', async () => {
    const ed = await edWithOrders();
    const fred = await session.findOneOrFail(User, { where: { id: 2 }, relations: { orders: true } });
    fred.orders.push(ed.orders.shift()!);
    await session.commit();
    expect(await descriptions()).toEqual([
      { description: 'a', user_id: 2 },
      { description: 'b', user_id: 1 },
    ]);
  });

  test('an object that its own side gives to another parent is no orphan', async () => {
    const ed = await edWithOrders();
    const fred = await session.getOrFail(User, 2);
    const [a, b] = ed.orders;
    ed.orders = [];
    a!.user = fred;
    b!.userId = 2;
    await session.commit();
    expect(await descriptions()).toEqual([
      { description: 'a', user_id: 2 },
      { description: 'b', user_id: 2 },
    ]);
  });

  test('SA-266: a pending object taken out again before the flush is not inserted', async () => {
    const ed = new User({ name: 'ed', orders: [new Order({ description: 'a' }), new Order({ description: 'b' })] });
    session.add(ed);
    const [out] = ed.orders.splice(0, 1);
    await session.commit();
    expect(session.inspect(out!).state).toBe('transient');
    expect(await descriptions()).toEqual([{ description: 'b', user_id: 1 }]);
  });

  test('SA-266: where children may be without a parent, one taken out again is inserted without', async () => {
    const ed = new User({ name: 'ed', addresses: [new Address({ email: 'a' })] });
    session.add(ed);
    ed.addresses.splice(0, 1);
    await session.commit();
    expect(await emails()).toEqual([{ email: 'a', user_id: null }]);
  });

  test('SA-234: a pending child that expire takes out of its collection is not inserted', async () => {
    const ed = await edWithOrders();
    const added = new Order({ description: 'c' });
    ed.orders.push(added);
    session.add(ed);
    expect(session.inspect(added).state).toBe('pending');
    session.expire(ed);
    expect(ed.orders).not.toContain(added);
    await session.commit();
    expect(session.inspect(added).state).toBe('transient');
    expect(await descriptions()).toEqual([
      { description: 'a', user_id: 1 },
      { description: 'b', user_id: 1 },
    ]);
  });

  test('SA-234: nor is one that refresh takes out', async () => {
    const ed = await edWithOrders();
    const added = new Order({ description: 'c' });
    ed.orders.push(added);
    session.add(ed);
    await session.noAutoflush(() => session.refresh(ed, { relations: ['orders'] }));
    expect(ed.orders).not.toContain(added);
    await session.commit();
    expect(session.inspect(added).state).toBe('transient');
  });

  test('SA-267: the same objects assigned again are no orphans, and write nothing', async () => {
    const ed = await edWithOrders();
    ed.orders = [...ed.orders];
    env.sent();
    await session.flush();
    expect(env.statements()).toEqual([]);
    expect(session.deleted).toEqual([]);
  });

  test('SA-268: an object of a class with orphans may be added by itself with its foreign key', async () => {
    await edWithOrders();
    session.add(new Order({ description: 'alone', userId: 2 }));
    await session.commit();
    expect(await descriptions()).toContainEqual({ description: 'alone', user_id: 2 });
  });

  test('SA-268: without the foreign key the database decides', async () => {
    session.add(new Order({ description: 'alone' }));
    await expect(session.commit()).rejects.toMatchObject({ code: 'UOW_NOT_NULL_VIOLATION' });
  });

  test('an orphan that is kept as deleted gets its date, and keeps its parent', async () => {
    const room = made(Room);
    await stored(room, made(Lamp, { room }));
    const loaded = await session.findOneOrFail(Room, { where: { id: 1 }, relations: { lamps: true } });
    loaded.lamps.pop();
    await session.commit();
    expect(await env.database.query('SELECT room_id, gone_at IS NULL AS here FROM lamps')).toEqual([
      { room_id: 1, here: false },
    ]);
  });

  test('where orphans are left alone, taking one out of a collection writes nothing', async () => {
    const room = made(Room);
    await stored(room, made(Door, { room }));
    const loaded = await session.findOneOrFail(Room, { where: { id: 1 }, relations: { doors: true } });
    loaded.doors.pop();
    env.sent();
    await session.flush();
    expect(env.statements()).toEqual([]);
    await session.commit();
    expect(await env.database.query('SELECT room_id FROM doors')).toEqual([{ room_id: 1 }]);
  });

  test('a rollback makes an orphan persistent again, and puts it back into its collection', async () => {
    const ed = await edWithOrders();
    const before = ed.orders;
    const [a] = ed.orders.splice(0, 1);
    await session.flush();
    await session.rollback();
    expect(session.inspect(a!).state).toBe('persistent');
    expect(ed.orders).toBe(before);
    expect(ed.orders[0]).toBe(a);
  });
});

describe('both sides of a relation', () => {
  test('a flush brings the child up to a change of the collection, and the collection up to one of the child', async () => {
    await stored(
      new User({ name: 'ed', addresses: [new Address({ email: 'a' }), new Address({ email: 'b' })] }),
      new User({ name: 'fred', addresses: [] }),
    );
    const [ed, fred] = await session.find(User, { order: { id: 'ASC' }, relations: { addresses: true } });
    const [a, b] = ed!.addresses;
    fred!.addresses.push(ed!.addresses.shift()!);
    await session.flush();
    expect(a!.user).toBe(fred);
    b!.user = fred!;
    await session.flush();
    expect(ed!.addresses).toEqual([]);
    expect(fred!.addresses).toEqual([a, b]);
    env.sent();
    await session.flush();
    expect(env.statements()).toEqual([]);
  });

  test('sides that were changed to different parents are refused, both named', async () => {
    await stored(
      new User({ name: 'ed', addresses: [new Address({ email: 'a' })] }),
      new User({ name: 'fred', addresses: [] }),
      new User({ name: 'jack', addresses: [] }),
    );
    const [ed, fred, jack] = await session.find(User, { order: { id: 'ASC' }, relations: { addresses: true } });
    const [a] = ed!.addresses;
    fred!.addresses.push(a!);
    a!.user = jack!;
    await expect(session.flush()).rejects.toMatchObject({
      code: 'UOW_RELATION_CONFLICT',
      message: expect.stringMatching(/user.*addresses/s) as string,
    });
  });
});
