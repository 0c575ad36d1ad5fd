import { Column, Entity, ManyToOne, OneToMany, PrimaryColumn, PrimaryGeneratedColumn } from 'typeorm';
import type { Relation } from 'typeorm';
import { inspectEntity } from '../../libs/uow/src/session/inspect.js';
import { collectGarbage } from '../support/collect-garbage.js';
import { SessionUnderTest } from './session-under-test.js';

let made = 0;
const quarries: WeakRef<Quarry>[] = [];
const slabs: WeakRef<Slab>[] = [];

@Entity()
class Stone {
  @PrimaryColumn('int')
  id!: number;

  @Column('text')
  name!: string;

  constructor() {
    made++;
  }
}

@Entity()
class Quarry {
  @PrimaryGeneratedColumn('identity')
  id!: number;

  @Column('text')
  name!: string;

  @Column('float8')
  depth!: number;

  @OneToMany(() => Slab, (slab) => slab.quarry)
  slabs!: Slab[];

  constructor() {
    quarries.push(new WeakRef(this));
  }
}

@Entity()
class Slab {
  @PrimaryGeneratedColumn('identity')
  id!: number;

  @Column('jsonb')
  marks!: object;

  @ManyToOne(() => Quarry, (quarry) => quarry.slabs)
  quarry!: Relation<Quarry>;

  constructor() {
    slabs.push(new WeakRef(this));
  }
}

@Entity()
class Sealed {
  @PrimaryColumn('int')
  id!: number;

  @Column('int')
  weight!: number;

  constructor() {
    Object.defineProperty(this, 'extra', { get: () => 'own', enumerable: true });
    Object.preventExtensions(this);
  }
}

let env: SessionUnderTest;
beforeAll(async () => {
  env = await SessionUnderTest.start({ entities: [Stone, Quarry, Slab, Sealed] });
  await env.dataSource.query("INSERT INTO stone SELECT n, 'stone ' || n FROM generate_series(1, 50) AS n");
});
afterAll(() => env.stop());

test('one object of a class is made beside those that were asked for, once', async () => {
  made = 0;
  const found = await env.factory.begin((session) => session.find(Stone, { order: { id: 'ASC' } }));
  expect(made).toBe(51);
  expect(found.map((stone) => stone.id)).toEqual(Array.from({ length: 50 }, (_, at) => at + 1));
  expect(found.every((stone) => inspectEntity(stone).state === 'detached')).toBe(true);
  await env.factory.begin((session) => session.find(Stone));
  expect(made).toBe(101);
});

test('what was read can be collected after its session', async () => {
  const read = async (): Promise<WeakRef<Stone>[]> => {
    const stones = await env.factory.begin((session) => session.find(Stone));
    return stones.map((stone) => new WeakRef(stone));
  };
  const stones = await read();
  for (let tries = 0; tries < 20 && stones.some((stone) => stone.deref() !== undefined); tries++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    collectGarbage();
  }
  expect(stones.filter((stone) => stone.deref() !== undefined)).toHaveLength(0);
});

const alive = <T extends object>(objects: readonly WeakRef<T>[]): T[] => objects.flatMap((one) => one.deref() ?? []);

async function insertQuarry(): Promise<void> {
  const slabs = Array.from({ length: 3 }, (_, at) => Object.assign(new Slab(), { marks: { at } }));
  const quarry = Object.assign(new Quarry(), { slabs, depth: 12.5, name: 'north' });
  await env.factory.begin((session) => {
    session.add(quarry);
  });
}

test('of what was inserted, one of each class is kept that is like it and holds nothing of it', async () => {
  await insertQuarry();
  await insertQuarry();
  for (let tries = 0; tries < 20 && alive(quarries).length + alive(slabs).length > 2; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    collectGarbage();
  }
  expect(alive(quarries)).toEqual([{ id: 0, name: '', depth: 0.5, slabs: [] }]);
  expect(alive(slabs)).toEqual([{ id: 0, marks: null, quarry: alive(quarries)[0] }]);
});

test('a class that cannot be filled from outside is inserted all the same, and none of it is kept', async () => {
  const sealed = Object.assign(new Sealed(), { id: 1, weight: 7 });
  await env.factory.begin((session) => {
    session.add(sealed);
  });
  expect(await env.dataSource.query('SELECT id, weight FROM sealed')).toEqual([{ id: 1, weight: 7 }]);
});
