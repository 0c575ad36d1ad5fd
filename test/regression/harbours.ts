import { Column, Entity, JoinColumn, ManyToOne, OneToMany, PrimaryGeneratedColumn } from 'typeorm';
import { SessionUnderTest } from '../session/session-under-test.js';

@Entity('harbours')
export class Harbour {
  @PrimaryGeneratedColumn()
  id!: number;

  @OneToMany(() => Boat, (boat) => boat.harbour)
  boats!: Boat[];
}

@Entity('boats')
export class Boat {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column('text')
  name!: string;

  @ManyToOne(() => Harbour, (harbour) => harbour.boats, { nullable: true })
  @JoinColumn({ name: 'harbour_id' })
  harbour!: Harbour | null;
}

/** Two harbours, one boat in the first, and one in none; begins and stops with the tests of the calling file. */
export function harbours(): { readonly env: SessionUnderTest } {
  let env: SessionUnderTest;
  beforeAll(async () => {
    env = await SessionUnderTest.start({ entities: [Harbour, Boat] });
  });
  afterAll(async () => {
    await env.stop();
  });
  beforeEach(async () => {
    await env.database.query(
      `TRUNCATE harbours, boats RESTART IDENTITY;
       INSERT INTO harbours SELECT FROM generate_series(1, 2);
       INSERT INTO boats (name, harbour_id) VALUES ('free', NULL), ('moored', 1)`,
    );
  });
  return {
    get env() {
      return env;
    },
  };
}
