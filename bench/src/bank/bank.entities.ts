import { Column, Entity, JoinColumn, ManyToOne, OneToMany, PrimaryColumn, PrimaryGeneratedColumn } from 'typeorm';

@Entity()
export class Account {
  @PrimaryGeneratedColumn('identity')
  id!: number;

  @Column('text')
  owner!: string;

  @Column('int')
  balance!: number;
}

@Entity()
export class Transfer {
  @PrimaryGeneratedColumn('identity')
  id!: number;

  @ManyToOne(() => Account)
  @JoinColumn({ name: 'source_id' })
  source!: Account;

  @ManyToOne(() => Account)
  @JoinColumn({ name: 'target_id' })
  target!: Account;

  @Column('int')
  amount!: number;

  @OneToMany(() => Posting, (posting) => posting.transfer, { cascade: ['insert'] })
  postings!: Posting[];
}

@Entity()
export class Posting {
  @PrimaryGeneratedColumn('identity')
  id!: number;

  @ManyToOne(() => Transfer, (transfer) => transfer.postings)
  @JoinColumn({ name: 'transfer_id' })
  transfer!: Transfer;

  @ManyToOne(() => Account)
  @JoinColumn({ name: 'account_id' })
  account!: Account;

  @Column('int')
  amount!: number;
}

@Entity()
export class Parent {
  @PrimaryGeneratedColumn('identity')
  id!: number;

  @Column('text')
  name!: string;

  @OneToMany(() => Child, (child) => child.parent, { cascade: ['insert'] })
  children!: Child[];
}

@Entity()
export class Child {
  @PrimaryGeneratedColumn('identity')
  id!: number;

  @ManyToOne(() => Parent, (parent) => parent.children)
  @JoinColumn({ name: 'parent_id' })
  parent!: Parent;

  @Column('int')
  position!: number;

  @Column('text')
  label!: string;
}

@Entity()
export class Measurement {
  @PrimaryColumn('int')
  id!: number;

  @Column('text')
  station!: string;

  @Column('text')
  kind!: string;

  @Column('int')
  quantity!: number;

  @Column('double precision')
  value!: number;

  @Column('boolean')
  valid!: boolean;

  @Column('timestamptz', { name: 'taken_at' })
  takenAt!: Date;

  @Column('timestamptz', { name: 'received_at' })
  receivedAt!: Date;

  @Column('text', { nullable: true })
  note!: string | null;

  @Column('varchar', { length: 20 })
  code!: string;
}

export const bankEntities = [Account, Transfer, Posting, Parent, Child, Measurement];
