import { Column, Entity, ManyToOne, PrimaryGeneratedColumn } from 'typeorm';
import { SessionUnderTest } from './session-under-test.js';

@Entity('writer')
class Writer {
  @PrimaryGeneratedColumn('identity')
  id!: number;

  @Column('text')
  name!: string;
}

@Entity('novel')
class Novel {
  @PrimaryGeneratedColumn('identity')
  id!: number;

  @ManyToOne(() => Writer, { lazy: true, nullable: true })
  writer!: Promise<Writer | null>;
}

test('a promise in a plain property of a lazy relation is refused, instead of being passed over', async () => {
  const env = await SessionUnderTest.start({ entities: [Writer, Novel] });
  const session = env.factory.open();
  const novel = new Novel();
  novel.writer = Promise.resolve(Object.assign(new Writer(), { name: 'ada' }));
  expect(() => session.add(novel)).toThrow(/Novel\.writer is a lazy relation/);
  await session.close();
  await env.stop();
});
