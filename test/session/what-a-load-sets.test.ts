import { Column, Entity, JoinColumn, ManyToOne, OneToMany, OneToOne, PrimaryGeneratedColumn } from 'typeorm';
import type { DbSession } from '../../libs/uow/src/session/db-session.js';
import { SessionUnderTest } from './session-under-test.js';

@Entity('poets')
class Poet {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column('text', { unique: true })
  name!: string;

  @OneToMany(() => Poem, (poem) => poem.poet)
  poems!: Poem[];

  @OneToMany(() => Prize, (prize) => prize.poet)
  prizes!: Prize[];

  @OneToMany(() => Letter, (letter) => letter.poet)
  letters!: Letter[];

  @OneToOne(() => Portrait, (portrait) => portrait.poet)
  portrait!: Portrait | null;
}

@Entity('poems')
class Poem {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column('text')
  title!: string;

  @ManyToOne(() => Poet, (poet) => poet.poems, { nullable: true })
  @JoinColumn({ name: 'poet_id' })
  poet!: Poet | null;
}

/** May not be without a poet, and has the foreign key as a property, too. */
@Entity('prizes')
class Prize {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column('int', { name: 'poet_id' })
  poetId!: number;

  @ManyToOne(() => Poet, (poet) => poet.prizes, { orphanedRowAction: 'delete' })
  @JoinColumn({ name: 'poet_id' })
  poet!: Poet;
}

/** Refers to another column than the key. */
@Entity('letters')
class Letter {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column('text', { name: 'poet_name', nullable: true })
  poetName!: string | null;

  @ManyToOne(() => Poet, (poet) => poet.letters, { nullable: true })
  @JoinColumn({ name: 'poet_name', referencedColumnName: 'name' })
  poet!: Poet | null;
}

@Entity('portraits')
class Portrait {
  @PrimaryGeneratedColumn()
  id!: number;

  @OneToOne(() => Poet, (poet) => poet.portrait, { nullable: true })
  @JoinColumn({ name: 'poet_id' })
  poet!: Poet | null;
}

const ALL = { poems: true, prizes: true, letters: true, portrait: true } as const;

let env: SessionUnderTest;
let session: DbSession;

beforeAll(async () => {
  env = await SessionUnderTest.start({ entities: [Poet, Poem, Prize, Letter, Portrait] });
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  await env.database.query(
    `TRUNCATE poets, poems, prizes, letters, portraits RESTART IDENTITY;
     INSERT INTO poets (name) VALUES ('ann'), ('bob');
     INSERT INTO poems (title, poet_id) VALUES ('a', 1), ('b', 1), ('c', 2);
     INSERT INTO prizes (poet_id) VALUES (1), (2);
     INSERT INTO letters (poet_name) VALUES ('ann'), ('bob');
     INSERT INTO portraits (poet_id) VALUES (1)`,
  );
  session = env.factory.open();
  env.sent();
});
afterEach(async () => {
  await session.close();
});

async function bothPoets(): Promise<[Poet, Poet]> {
  const [ann, bob] = await session.find(Poet, { relations: ALL, order: { id: 'ASC' } });
  env.sent();
  return [ann!, bob!];
}

const stored = (table: string, column: string): Promise<unknown[]> =>
  env.database
    .query<{ value: unknown }>(`SELECT ${column} AS value FROM ${table} ORDER BY id`)
    .then((rows) => rows.map(({ value }) => value));

describe('a load', () => {
  test('sets what was asked for, and leaves the other side as it is not loaded', async () => {
    const [ann] = await bothPoets();
    for (const child of [...ann.poems, ...ann.prizes, ...ann.letters, ann.portrait!]) {
      expect(child.poet).toBeUndefined();
    }
    expect(session.dirty).toEqual([]);
  });

  test('gives the JSON that a repository gives', async () => {
    const options = { relations: ALL, order: { id: 'ASC', poems: { id: 'ASC' } } } as const;
    const ours = await session.find(Poet, options);
    const theirs = await env.dataSource.getRepository(Poet).find(options);
    expect(JSON.parse(JSON.stringify(ours))).toEqual(JSON.parse(JSON.stringify(theirs)));
  });

  test('sets the other side, too, where it is asked for, and asks the database no more for it', async () => {
    const [ann] = await session.find(Poet, { relations: { poems: { poet: true }, portrait: { poet: true } } });
    expect(env.statements().map((sql) => /FROM "(\w+)"/.exec(sql)?.[1])).toEqual(['poets', 'poems', 'portraits']);
    for (const child of [...ann!.poems, ann!.portrait!]) expect(child.poet).toBe(ann);
  });

  test('sends nothing for an object that the session has', async () => {
    const [ann, bob] = await bothPoets();
    const poems = [...ann.poems, ...bob.poems];
    await session.load(poems, { relations: { poet: true } });
    expect(env.sent()).toEqual([]);
    expect(poems.map(({ poet }) => poet)).toEqual([ann, ann, bob]);
    expect(session.dirty).toEqual([]);
  });

  test('leaves what was loaded before', async () => {
    const poem = await session.findOneOrFail(Poem, { where: { id: 1 }, relations: { poet: true } });
    const [ann] = await bothPoets();
    expect(poem.poet).toBe(ann);
    expect(ann.poems[0]).toBe(poem);
    expect(ann.poems[1]!.poet).toBeUndefined();
  });

  test('that refreshes does not set the other side either', async () => {
    const [ann] = await bothPoets();
    await session.refresh(ann, { relations: ALL });
    expect(ann.poems.map(({ poet }) => poet)).toEqual([undefined, undefined]);
    expect(ann.portrait!.poet).toBeUndefined();
  });

  test('is no change to merge onto', async () => {
    const [ann] = await bothPoets();
    const given = Object.assign(new Poet(), { id: 1, name: 'ann' });
    given.poems = ann.poems.map(({ id, title }) => Object.assign(new Poem(), { id, title, poet: given }));
    expect(await session.merge(given)).toBe(ann);
    expect(session.dirty).toEqual([]);
    await session.commit();
    expect(env.statements().filter((sql) => /INSERT|UPDATE|DELETE/.test(sql))).toEqual([]);
    expect(ann.poems[0]!.poet).toBe(ann);
  });
});

describe('a flush, where the child’s own side is not loaded, lets both sides say the same', () => {
  test('after the child was given another parent', async () => {
    const [ann, bob] = await bothPoets();
    const [a, b] = ann.poems;
    const [letter] = ann.letters;
    a!.poet = bob;
    b!.poet = null;
    letter!.poet = bob;
    await session.flush();
    expect(ann.poems).toEqual([]);
    expect(bob.poems.map(({ title }) => title)).toEqual(['c', 'a']);
    expect([ann.letters.length, bob.letters.length]).toEqual([0, 2]);
    await session.commit();
    expect(await stored('poems', 'poet_id')).toEqual([2, null, 2]);
    expect(await stored('letters', 'poet_name')).toEqual(['bob', 'bob']);
  });

  test('after the child was put into another parent’s collection alone', async () => {
    const [ann, bob] = await bothPoets();
    const [poem] = ann.poems;
    const [letter] = ann.letters;
    const { portrait } = ann;
    bob.poems.push(poem!);
    bob.letters.push(letter!);
    bob.portrait = portrait;
    await session.flush();
    expect([poem!.poet, letter!.poet, portrait!.poet]).toEqual([bob, bob, bob]);
    expect(ann.poems.map(({ title }) => title)).toEqual(['b']);
    expect([ann.letters.length, ann.portrait]).toEqual([0, null]);
    await session.commit();
    expect(await stored('poems', 'poet_id')).toEqual([2, 1, 2]);
    expect(await stored('portraits', 'poet_id')).toEqual([2]);
  });

  test('after a new child was put into the collection', async () => {
    const [ann] = await bothPoets();
    const poem = Object.assign(new Poem(), { title: 'new' });
    ann.poems.push(poem);
    await session.flush();
    expect(poem.poet).toBe(ann);
  });

  test('after the child was taken out, or its parent deleted', async () => {
    await session.begin();
    const [ann, bob] = await bothPoets();
    const [a, b] = ann.poems;
    ann.poems.splice(0, 1);
    await session.flush();
    expect([a!.poet, b!.poet]).toEqual([null, undefined]);
    bob.letters.push(...ann.letters.splice(0));
    session.delete(ann);
    await session.commit();
    expect([a!.poet, b!.poet]).toEqual([null, null]);
    expect(await stored('poems', 'poet_id')).toEqual([null, null, 2]);
    expect(await stored('portraits', 'poet_id')).toEqual([null]);
    expect(await stored('prizes', 'poet_id')).toEqual([2]);
  });

  test('after a collection was replaced that was not loaded', async () => {
    const [ann, bob] = await session.getManyOrFail(Poet, [1, 2]);
    await session.load(bob, { relations: { poems: true } });
    const [c] = bob.poems;
    ann.poems = [c!];
    await session.flush();
    expect(c!.poet).toBe(ann);
    expect(bob.poems).toEqual([]);
    await session.commit();
    expect(await stored('poems', 'poet_id')).toEqual([null, null, 1]);
  });
});

test('both sides changed and differing is a conflict', async () => {
  const [ann, bob] = await bothPoets();
  const [poem] = ann.poems;
  poem!.poet = null;
  bob.poems.push(poem!);
  await expect(session.flush()).rejects.toMatchObject({ code: 'UOW_RELATION_CONFLICT' });
});

describe('an orphan', () => {
  test('is deleted', async () => {
    const [ann] = await bothPoets();
    ann.prizes.splice(0);
    await session.commit();
    expect(await stored('prizes', 'id')).toEqual([2]);
  });

  test('is none where the child has gone to another parent', async () => {
    const [ann, bob] = await bothPoets();
    const [prize] = ann.prizes;
    ann.prizes.splice(0);
    prize!.poet = bob;
    await session.commit();
    expect(await stored('prizes', 'poet_id')).toEqual([2, 2]);
    expect(bob.prizes).toContain(prize);
  });

  test('is none where the child’s row refers to another parent since an earlier flush', async () => {
    await session.begin();
    const [ann, bob] = await bothPoets();
    ann.prizes[0]!.poetId = bob.id;
    await session.flush();
    ann.poems.splice(0);
    session.delete(ann);
    await session.commit();
    expect(await stored('prizes', 'poet_id')).toEqual([2, 2]);
  });
});

test('a child that went to another parent by its foreign key stays there when the former collection lets go of it', async () => {
  await session.begin();
  const [ann, bob] = await session.find(Poet, { relations: ALL, order: { id: 'ASC' } });
  ann!.letters[0]!.poetName = bob!.name;
  await session.flush();
  ann!.letters.splice(0);
  await session.commit();
  expect(await stored('letters', 'poet_name')).toEqual(['bob', 'bob']);
});

describe('a rollback makes the own side not loaded again', () => {
  test.each(['transaction', 'savepoint'] as const)('of the %s', async (kind) => {
    const [ann, bob] = await bothPoets();
    const [a, b] = ann.poems;
    const move = (): void => {
      bob.poems.push(a!);
      b!.poet = bob;
    };
    const savepoint = kind === 'savepoint' ? await session.beginNested() : session;
    move();
    await session.flush();
    expect([a!.poet, b!.poet, ann.poems.length, bob.poems.length]).toEqual([bob, bob, 0, 3]);
    await savepoint.rollback();
    expect([a!.poet, b!.poet]).toEqual([undefined, undefined]);
    expect(ann.poems).toEqual([a, b]);
    expect(bob.poems).toHaveLength(1);
    move();
    await session.commit();
    expect(await stored('poems', 'poet_id')).toEqual([2, 2, 2]);
  });
});

test('a change that another side makes is what afterCommit tells of', async () => {
  const [ann, bob] = await bothPoets();
  bob.poems.push(ann.poems[0]!);
  const told: unknown[] = [];
  session.on('afterCommit', ({ changes }) => {
    told.push(changes.updated.map(({ entity }) => entity));
  });
  const [poem] = ann.poems;
  await session.commit();
  expect(told).toEqual([[poem]]);
});
