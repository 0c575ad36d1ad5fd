import {
  ChildEntity,
  Column,
  Entity,
  EntitySchema,
  ManyToOne,
  OneToMany,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  TableInheritance,
  Tree,
  TreeChildren,
  TreeParent,
  ViewColumn,
  ViewEntity,
} from 'typeorm';
import { SessionUnderTest } from './session-under-test.js';

/** What kinds of entity there are in TypeORM, and what a session makes of each. */

interface Planet {
  name: string;
  mass: number;
  moons?: Moon[];
}

interface Moon {
  id: number;
  name: string;
  planet?: Planet | null;
}

const PlanetSchema = new EntitySchema<Planet>({
  name: 'Planet',
  columns: { name: { type: 'text', primary: true }, mass: { type: 'double precision' } },
  relations: { moons: { type: 'one-to-many', target: 'MoonObject', inverseSide: 'planet' } },
});

class MoonObject implements Moon {
  id!: number;
  name!: string;
  planet?: Planet | null;
}

const MoonSchema = new EntitySchema<Moon>({
  name: 'Moon',
  tableName: 'moon',
  target: MoonObject,
  columns: { id: { type: 'int', primary: true, generated: 'increment' }, name: { type: 'text' } },
  relations: { planet: { type: 'many-to-one', target: 'Planet', inverseSide: 'moons' } },
});

@Entity()
@TableInheritance({ column: { type: 'varchar', name: 'kind' } })
class Vehicle {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column('text')
  name!: string;

  @ManyToOne(() => Garage, (garage) => garage.vehicles)
  garage!: Garage | null;
}

@ChildEntity()
class Car extends Vehicle {
  @Column('int')
  doors!: number;
}

@ChildEntity('lorry')
class Truck extends Vehicle {
  @Column('numeric')
  load!: string;

  @OneToMany(() => Trailer, (trailer) => trailer.truck)
  trailers!: Trailer[];
}

@Entity()
class Trailer {
  @PrimaryGeneratedColumn()
  id!: number;

  @ManyToOne(() => Truck, (truck) => truck.trailers)
  truck!: Truck;
}

@Entity()
class Garage {
  @PrimaryGeneratedColumn()
  id!: number;

  @OneToMany(() => Vehicle, (vehicle) => vehicle.garage)
  vehicles!: Vehicle[];
}

class Coordinates {
  @Column('double precision')
  x!: number;

  @Column('double precision')
  y!: number;

  get distance(): number {
    return Math.hypot(this.x, this.y);
  }
}

class Place {
  @Column('text')
  city!: string;

  @Column(() => Coordinates, { prefix: 'at_' })
  at!: Coordinates;

  @ManyToOne(() => Garage)
  garage!: Garage | null;
}

@Entity()
class Event {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column(() => Place)
  from!: Place;

  @Column(() => Place, { prefix: 'target' })
  to!: Place;
}

@ViewEntity({ expression: `SELECT kind, count(*)::int AS number FROM vehicle GROUP BY kind`, name: 'fleet' })
class Fleet {
  @ViewColumn({ name: 'kind' })
  @PrimaryColumn('text')
  kind!: string;

  @ViewColumn()
  number!: number;
}

@Entity()
@Tree('closure-table')
class Folder {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column('text')
  name!: string;

  @TreeParent()
  parent!: Folder | null;

  @TreeChildren()
  children!: Folder[];
}

let env: SessionUnderTest;

beforeAll(async () => {
  env = await SessionUnderTest.start({
    entities: [PlanetSchema, MoonSchema, Vehicle, Car, Truck, Trailer, Garage, Event, Fleet, Folder],
  });
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  await env.database.query('TRUNCATE planet, moon, vehicle, trailer, garage, event, folder RESTART IDENTITY CASCADE');
  env.sent();
});

const make = <T extends object>(target: new () => T, values: Partial<T>): T => Object.assign(new target(), values);

describe('EntitySchema', () => {
  test('with a class: objects of the class, in both directions', async () => {
    await using session = env.factory.open();
    const moon = make(MoonObject, { name: 'Io' });
    session.add(moon);
    await session.commit();
    await session.close();
    const [found] = await session.find(MoonSchema);
    expect(found).toBeInstanceOf(MoonObject);
    expect(await session.get(MoonObject, found!.id)).toBe(found);
  });

  test('without a class: read, changed and deleted by the schema or its name', async () => {
    await env.database.query(`INSERT INTO planet VALUES ('Mars', 0.6)`);
    await using session = env.factory.open();
    const mars = await session.getOrFail(PlanetSchema, 'Mars');
    expect(await session.get<Planet>('Planet', 'Mars')).toBe(mars);
    mars.mass = 0.642;
    const phobos = make(MoonObject, { name: 'Phobos', planet: mars });
    session.add(phobos);
    await session.commit();
    expect(
      await env.database.query('SELECT mass, m.name FROM planet JOIN moon m ON "planetName" = planet.name'),
    ).toEqual([{ mass: 0.642, name: 'Phobos' }]);
    await session.load(mars, { relations: ['moons'] });
    expect(mars.moons).toEqual([phobos]);
    session.deleteAll([phobos, mars]);
    await session.commit();
    expect(await session.count(PlanetSchema)).toBe(0);
  });
});

describe('single-table inheritance', () => {
  test('children share a table and an identity, and come back as what they are', async () => {
    await using session = env.factory.open();
    const garage = new Garage();
    const car = make(Car, { name: 'Beetle', doors: 3, garage });
    const truck = make(Truck, { name: 'Actros', load: '18.5', garage });
    session.addAll([car, truck]);
    await session.commit();
    expect(await env.database.query('SELECT kind, name, doors, load FROM vehicle ORDER BY id')).toEqual([
      { kind: 'Car', name: 'Beetle', doors: 3, load: null },
      { kind: 'lorry', name: 'Actros', doors: null, load: '18.5' },
    ]);
    await session.close();
    const all = await session.find(Vehicle, { order: { id: 'ASC' } });
    expect(all.map((one) => one.constructor)).toEqual([Car, Truck]);
    expect((all[0] as Car).doors).toBe(3);
    expect(await session.get(Car, all[0]!.id)).toBe(all[0]);
    expect(await session.get(Vehicle, all[1]!.id)).toBe(all[1]);
  });

  test('a child’s key is none of another child', async () => {
    await using session = env.factory.open();
    const car = make(Car, { name: 'Beetle', doors: 3 });
    session.add(car);
    await session.commit();
    expect(await session.get(Truck, car.id)).toBeNull();
    expect(await session.find(Truck)).toEqual([]);
    await session.close();
    expect(await session.get(Truck, car.id)).toBeNull();
    expect(await session.count(Truck)).toBe(0);
  });

  test('a child’s own columns and relations are changed and loaded', async () => {
    await using session = env.factory.open();
    const truck = make(Truck, { name: 'Actros', load: '18.5', trailers: [new Trailer(), new Trailer()] });
    session.add(truck);
    await session.commit();
    await session.close();
    const [again] = (await session.find(Vehicle)) as [Truck];
    again.load = '20';
    await session.load(again, { relations: ['trailers'] });
    expect(again.trailers).toHaveLength(2);
    await session.commit();
    expect(await env.database.query('SELECT load FROM vehicle')).toEqual([{ load: '20' }]);
  });

  test('a relation to the parent class holds children', async () => {
    await using session = env.factory.open();
    const garage = make(Garage, {
      vehicles: [make(Car, { name: 'a', doors: 2 }), make(Truck, { name: 'b', load: '1' })],
    });
    session.add(garage);
    await session.commit();
    await session.close();
    const [again] = await session.find(Garage, { relations: { vehicles: true } });
    expect(again!.vehicles.map((one) => one.constructor)).toEqual([Car, Truck]);
  });
});

describe('embedded entities', () => {
  const event = (x: number): Event => {
    const place = (city: string): Place => make(Place, { city, at: make(Coordinates, { x, y: 4 }), garage: null });
    return make(Event, { from: place('Bonn'), to: place('Mainz') });
  };

  test('are written, read as their classes, and compared to any depth', async () => {
    await using session = env.factory.open();
    session.addAll([event(3), event(6)]);
    await session.commit();
    await session.close();
    const [first] = (await session.find(Event, { order: { id: 'ASC' } })) as [Event];
    expect(first.from.at.distance).toBe(5);
    first.to.at.x = 0;
    expect(session.dirty).toEqual([first]);
    env.sent();
    await session.commit();
    expect(env.statements().filter((sql) => sql.includes('UPDATE'))).toHaveLength(1);
    const theirs = await env.dataSource.getRepository(Event).findOneByOrFail({ id: first.id });
    expect(first.to.at).toEqual(theirs.to.at);
    expect(first.from.city).toBe('Bonn');
  });

  test('an embedded object may be replaced as a whole', async () => {
    await using session = env.factory.open();
    const one = event(3);
    session.add(one);
    await session.commit();
    one.from = make(Place, { city: 'Trier', at: make(Coordinates, { x: 9, y: 9 }) });
    await session.rollback();
    expect([one.from.city, one.from.at.x]).toEqual(['Bonn', 3]);
    one.from = make(Place, { city: 'Trier', at: make(Coordinates, { x: 9, y: 9 }) });
    await session.commit();
    expect(await session.count(Event, { where: { from: { city: 'Trier', at: { y: 9 } } } })).toBe(1);
  });

  test('hold relations of their own', async () => {
    await using session = env.factory.open();
    const one = event(3);
    one.to.garage = new Garage();
    session.add(one);
    await session.commit();
    const { id } = one.to.garage;
    await session.close();
    const again = await session.getOrFail(Event, one.id);
    await session.load(again, { relations: ['to.garage'] });
    expect(again.to.garage?.id).toBe(id);
    await session.close();
    const [found] = await session.find(Event, { relations: { to: { garage: { vehicles: true } } } });
    expect(found!.to.garage).toEqual(make(Garage, { id, vehicles: [] }));
    expect(found!.from.garage).toBeUndefined();
  });
});

describe('what sessions do not write', () => {
  test('a view is read, and refused by add and delete', async () => {
    await using session = env.factory.open();
    session.add(make(Car, { name: 'a', doors: 2 }));
    const [fleet] = await session.find(Fleet);
    expect(fleet).toEqual(make(Fleet, { kind: 'Car', number: 1 }));
    expect(() => {
      session.delete(fleet!);
    }).toThrow(expect.objectContaining({ code: 'UOW_INVALID_SESSION_OPERATION' }));
    expect(() => {
      session.add(make(Fleet, { kind: 'x', number: 1 }));
    }).toThrow(/view/);
  });

  test('a tree is refused by every call, with the reason; its repository joins the same transaction', async () => {
    await using session = env.factory.open();
    const outcomes = await Promise.allSettled([
      (async () => {
        session.add(make(Folder, { name: 'root' }));
        await Promise.resolve();
      })(),
      session.get(Folder, 1),
      session.find(Folder),
      session.count(Folder),
      session.exists(Folder),
    ]);
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'UOW_UNSUPPORTED_MAPPING' } });
      expect(String((outcome as PromiseRejectedResult).reason)).toContain('closure-table');
    }
  });
});
