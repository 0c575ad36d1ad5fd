import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { inspectEntity } from '../../libs/uow/src/session/inspect.js';
import { SessionUnderTest } from './session-under-test.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

let made = 0;

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

let env: SessionUnderTest;
beforeAll(async () => {
  env = await SessionUnderTest.start({ entities: [Stone] });
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
    collect();
  }
  expect(stones.filter((stone) => stone.deref() !== undefined)).toHaveLength(0);
});
