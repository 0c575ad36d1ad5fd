import {
  Column,
  Entity,
  JoinColumn,
  JoinTable,
  ManyToMany,
  ManyToOne,
  OneToMany,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  VersionColumn,
} from 'typeorm';

/** The entities that the cases of SQLAlchemy's Session speak of. Properties start undefined, as TypeORM's do. */
@Entity('users')
export class User {
  @PrimaryGeneratedColumn('identity', { type: 'integer', generatedIdentity: 'BY DEFAULT' })
  id!: number;

  @Column('text')
  name!: string;

  @Column('integer', { nullable: true })
  age!: number | null;

  @OneToMany(() => Address, (address) => address.user)
  addresses!: Address[];

  @OneToMany(() => Order, (order) => order.user, { cascade: true })
  orders!: Order[];

  constructor(values?: Partial<User>) {
    Object.assign(this, values);
  }
}

@Entity('addresses')
export class Address {
  @PrimaryGeneratedColumn('identity', { type: 'integer', generatedIdentity: 'BY DEFAULT' })
  id!: number;

  @ManyToOne(() => User, (user) => user.addresses, { nullable: true })
  @JoinColumn({ name: 'user_id' })
  user!: User | null;

  @Column('text')
  email!: string;

  constructor(values?: Partial<Address>) {
    Object.assign(this, values);
  }
}

/** An order without its user is an orphan, and goes. */
@Entity('orders')
export class Order {
  @PrimaryGeneratedColumn('identity', { type: 'integer', generatedIdentity: 'BY DEFAULT' })
  id!: number;

  @Column('integer', { name: 'user_id' })
  userId!: number;

  @ManyToOne(() => User, (user) => user.orders, { nullable: false, orphanedRowAction: 'delete' })
  @JoinColumn({ name: 'user_id' })
  user!: User;

  @Column('text')
  description!: string;

  @Column('boolean', { nullable: true })
  open!: boolean | null;

  constructor(values?: Partial<Order>) {
    Object.assign(this, values);
  }
}

@Entity('nodes')
export class TreeNode {
  @PrimaryGeneratedColumn('identity', { type: 'integer', generatedIdentity: 'BY DEFAULT' })
  id!: number;

  @Column('text')
  data!: string;

  @ManyToOne(() => TreeNode, (node) => node.children, { nullable: true })
  @JoinColumn({ name: 'parent_id' })
  parent!: TreeNode | null;

  @OneToMany(() => TreeNode, (node) => node.parent, { cascade: ['insert', 'update', 'remove'] })
  children!: TreeNode[];

  constructor(values?: Partial<TreeNode>) {
    Object.assign(this, values);
  }
}

@Entity('items')
export class Item {
  @PrimaryGeneratedColumn('identity', { type: 'integer', generatedIdentity: 'BY DEFAULT' })
  id!: number;

  @Column('text')
  description!: string;

  @ManyToMany(() => Keyword, (keyword) => keyword.items)
  @JoinTable({
    name: 'item_keywords',
    joinColumn: { name: 'item_id' },
    inverseJoinColumn: { name: 'keyword_id' },
  })
  keywords!: Keyword[];

  constructor(values?: Partial<Item>) {
    Object.assign(this, values);
  }
}

@Entity('keywords')
export class Keyword {
  @PrimaryGeneratedColumn('identity', { type: 'integer', generatedIdentity: 'BY DEFAULT' })
  id!: number;

  @Column('text', { unique: true })
  name!: string;

  @ManyToMany(() => Item, (item) => item.keywords)
  items!: Item[];

  constructor(values?: Partial<Keyword>) {
    Object.assign(this, values);
  }
}

@Entity('foos')
export class Foo {
  @PrimaryGeneratedColumn('identity', { type: 'integer', generatedIdentity: 'BY DEFAULT' })
  id!: number;

  @VersionColumn()
  version!: number;

  @Column('text')
  value!: string;

  @OneToMany(() => Bar, (bar) => bar.foo)
  bars!: Bar[];

  constructor(values?: Partial<Foo>) {
    Object.assign(this, values);
  }
}

@Entity('bars')
export class Bar {
  @PrimaryGeneratedColumn('identity', { type: 'integer', generatedIdentity: 'BY DEFAULT' })
  id!: number;

  @VersionColumn()
  version!: number;

  @ManyToOne(() => Foo, (foo) => foo.bars, { nullable: true })
  @JoinColumn({ name: 'foo_id' })
  foo!: Foo | null;

  constructor(values?: Partial<Bar>) {
    Object.assign(this, values);
  }
}

@Entity('natural_users')
export class NaturalUser {
  @PrimaryColumn('text')
  username!: string;

  @Column('text', { nullable: true })
  fullname!: string | null;

  @OneToMany(() => NaturalAddress, (address) => address.user)
  addresses!: NaturalAddress[];

  constructor(values?: Partial<NaturalUser>) {
    Object.assign(this, values);
  }
}

@Entity('natural_addresses')
export class NaturalAddress {
  @PrimaryColumn('text')
  email!: string;

  @ManyToOne(() => NaturalUser, (user) => user.addresses, { nullable: true, onUpdate: 'CASCADE' })
  @JoinColumn({ name: 'username' })
  user!: NaturalUser | null;

  constructor(values?: Partial<NaturalAddress>) {
    Object.assign(this, values);
  }
}

@Entity('memberships')
export class Membership {
  @PrimaryColumn('integer')
  userId!: number;

  @PrimaryColumn('text')
  status!: string;

  @Column('text', { nullable: true })
  note!: string | null;

  constructor(values?: Partial<Membership>) {
    Object.assign(this, values);
  }
}

/** All of them, for a data source. */
export const CASE_ENTITIES = [
  User,
  Address,
  Order,
  TreeNode,
  Item,
  Keyword,
  Foo,
  Bar,
  NaturalUser,
  NaturalAddress,
  Membership,
];

/** Empties all their tables and starts their keys at 1. */
export const EMPTY_ALL =
  'TRUNCATE users, addresses, orders, nodes, items, keywords, item_keywords, foos, bars, natural_users, ' +
  'natural_addresses, memberships RESTART IDENTITY CASCADE';
