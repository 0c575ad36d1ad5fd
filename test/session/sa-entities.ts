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

/** The entities of the cases that follow SQLAlchemy’s Session. */

@Entity('users')
export class User {
  @PrimaryGeneratedColumn('identity', { generatedIdentity: 'BY DEFAULT' })
  id!: number;

  @Column('text')
  name!: string;

  @OneToMany(() => Address, (address) => address.user)
  addresses!: Address[];

  @OneToMany(() => Order, (order) => order.user)
  orders!: Order[];

  static named(name: string, ...addresses: Address[]): User {
    const user = new User();
    user.name = name;
    if (addresses.length > 0) user.addresses = addresses;
    return user;
  }
}

@Entity('addresses')
export class Address {
  @PrimaryGeneratedColumn('identity', { generatedIdentity: 'BY DEFAULT' })
  id!: number;

  @Column('int', { name: 'user_id', nullable: true })
  userId!: number | null;

  @Column('text')
  email!: string;

  @ManyToOne(() => User, (user) => user.addresses, { nullable: true })
  @JoinColumn({ name: 'user_id' })
  user!: User | null;

  static of(email: string, user?: User | null): Address {
    const address = new Address();
    address.email = email;
    if (user !== undefined) address.user = user;
    return address;
  }
}

@Entity('orders')
export class Order {
  @PrimaryGeneratedColumn('identity', { generatedIdentity: 'BY DEFAULT' })
  id!: number;

  @Column('text')
  description!: string;

  @ManyToOne(() => User, (user) => user.orders, { nullable: false, orphanedRowAction: 'delete' })
  @JoinColumn({ name: 'user_id' })
  user!: User;
}

@Entity('nodes')
export class Node {
  @PrimaryGeneratedColumn('identity', { generatedIdentity: 'BY DEFAULT' })
  id!: number;

  @Column('text')
  data!: string;

  @ManyToOne(() => Node, (node) => node.children, { nullable: true })
  @JoinColumn({ name: 'parent_id' })
  parent!: Node | null;

  @OneToMany(() => Node, (node) => node.parent)
  children!: Node[];

  static of(data: string, ...children: Node[]): Node {
    const node = new Node();
    node.data = data;
    if (children.length > 0) node.children = children;
    return node;
  }
}

@Entity('items')
export class Item {
  @PrimaryGeneratedColumn('identity', { generatedIdentity: 'BY DEFAULT' })
  id!: number;

  @Column('text')
  description!: string;

  @ManyToMany(() => Keyword, (keyword) => keyword.items)
  @JoinTable({ name: 'item_keywords', joinColumn: { name: 'item_id' }, inverseJoinColumn: { name: 'keyword_id' } })
  keywords!: Keyword[];

  static of(description: string, ...keywords: Keyword[]): Item {
    const item = new Item();
    item.description = description;
    item.keywords = keywords;
    return item;
  }
}

@Entity('keywords')
export class Keyword {
  @PrimaryGeneratedColumn('identity', { generatedIdentity: 'BY DEFAULT' })
  id!: number;

  @Column('text')
  name!: string;

  @ManyToMany(() => Item, (item) => item.keywords)
  items!: Item[];

  static of(name: string): Keyword {
    const keyword = new Keyword();
    keyword.name = name;
    return keyword;
  }
}

@Entity('person')
export class Person {
  @PrimaryGeneratedColumn('identity', { generatedIdentity: 'BY DEFAULT' })
  id!: number;

  @Column('text')
  data!: string;

  @ManyToOne(() => Ball, { nullable: true })
  @JoinColumn({ name: 'favorite_ball_id' })
  favorite!: Ball | null;

  @OneToMany(() => Ball, (ball) => ball.person)
  balls!: Ball[];
}

@Entity('ball')
export class Ball {
  @PrimaryGeneratedColumn('identity', { generatedIdentity: 'BY DEFAULT' })
  id!: number;

  @Column('text')
  data!: string;

  @ManyToOne(() => Person, (person) => person.balls, { nullable: true })
  @JoinColumn({ name: 'person_id' })
  person!: Person | null;
}

@Entity('foo')
export class Foo {
  @PrimaryGeneratedColumn('identity', { generatedIdentity: 'BY DEFAULT' })
  id!: number;

  @VersionColumn()
  version!: number;

  @Column('text')
  value!: string;
}

@Entity('nusers')
export class NUser {
  @PrimaryColumn('text')
  username!: string;

  @Column('text')
  fullname!: string;

  @OneToMany(() => NAddress, (address) => address.user)
  addresses!: NAddress[];
}

@Entity('naddresses')
export class NAddress {
  @PrimaryGeneratedColumn('identity', { generatedIdentity: 'BY DEFAULT' })
  id!: number;

  @Column('text')
  email!: string;

  @ManyToOne(() => NUser, (user) => user.addresses, { nullable: true, onUpdate: 'CASCADE' })
  @JoinColumn({ name: 'username' })
  user!: NUser | null;
}

@Entity('pk2')
export class PK2 {
  @PrimaryColumn('int', { name: 'user_id' })
  userId!: number;

  @PrimaryColumn('text')
  status!: string;

  @Column('text', { nullable: true })
  note!: string | null;
}

export const SA_ENTITIES = [User, Address, Order, Node, Item, Keyword, Person, Ball, Foo, NUser, NAddress, PK2];

export const SA_TABLES =
  'addresses, orders, users, nodes, item_keywords, items, keywords, person, ball, foo, naddresses, nusers, pk2';
