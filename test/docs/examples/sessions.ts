import { Column, Entity, ManyToOne, OneToMany, PrimaryGeneratedColumn, VersionColumn } from 'typeorm';
import { StaleDataError, inspectEntity } from 'nestjs-uow';
import type { DbSession, DbSessionFactory } from 'nestjs-uow';

@Entity()
export class User {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column('text')
  name!: string;

  @OneToMany(() => Account, (account) => account.owner)
  accounts!: Account[];

  constructor(name: string) {
    this.name = name;
  }
}

@Entity()
export class Account {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column('int')
  balance!: number;

  @ManyToOne(() => User, (user) => user.accounts)
  owner!: User | null;

  @VersionColumn()
  version!: number;

  constructor(balance: number) {
    this.balance = balance;
  }
}

// #region begin
export async function register(factory: DbSessionFactory, ...names: string[]): Promise<void> {
  await factory.begin(async (session) => {
    for (const name of names) session.add(new User(name));
  }); // flushed, committed and closed here; a throw rolls back and closes
}
// #endregion

// #region open
export async function rename(factory: DbSessionFactory, id: number, name: string): Promise<void> {
  await using session = factory.open();
  const user = await session.getOrFail(User, id);
  user.name = name;
  await session.commit();
}
// #endregion

// #region flush
export async function keyBeforeCommit(session: DbSession): Promise<number> {
  const user = new User('Ada');
  session.add(user);
  await session.flush();
  const { id } = user; // known, and nothing is committed
  await session.rollback();
  return id;
}
// #endregion

// #region states
export async function states(factory: DbSessionFactory): Promise<string[]> {
  const seen: string[] = [];
  const session = factory.open();
  const user = new User('John');
  seen.push(inspectEntity(user).state); // transient
  session.add(user);
  seen.push(inspectEntity(user).state); // pending
  await session.commit();
  seen.push(inspectEntity(user).state); // persistent
  await session.close();
  seen.push(inspectEntity(user).state); // detached
  return seen;
}
// #endregion

// #region rollback
export async function rollBack(session: DbSession, id: number): Promise<User> {
  const user = await session.getOrFail(User, id);
  user.name = 'somebody else';
  session.add(new User('new'));
  await session.flush();
  await session.rollback();
  return user; // has its old name again; the new object is transient, and has no id
}
// #endregion

// #region savepoint
export async function tryAPart(session: DbSession, id: number): Promise<void> {
  const user = await session.getOrFail(User, id);
  user.name = 'kept';
  const savepoint = await session.beginNested();
  user.name = 'tried';
  await savepoint.rollback(); // the name is 'kept' again
  await session.commit();
}
// #endregion

// #region load
export async function balances(session: DbSession): Promise<Map<string, number>> {
  const users = await session.find(User, { order: { name: 'ASC' } });
  await session.load(users, { relations: ['accounts'] }); // one query, however many users
  return new Map(users.map((user) => [user.name, user.accounts.reduce((sum, { balance }) => sum + balance, 0)]));
}
// #endregion

// #region move
export async function move(session: DbSession, from: number, to: number): Promise<void> {
  const [source, target] = await session.getManyOrFail(User, [from, to]);
  await session.load([source, target], { relations: ['accounts'] });
  target.accounts.push(...source.accounts.splice(0));
  await session.commit(); // UPDATE account SET owner …; both sides say the same afterwards
}
// #endregion

// #region transfer
export async function transfer(session: DbSession, from: number, to: number, amount: number): Promise<void> {
  await session.transaction(async () => {
    const [source, target] = await session.getManyOrFail(Account, [from, to], { lock: 'update' });
    source.balance -= amount;
    target.balance += amount;
  });
}
// #endregion

// #region stale
export async function withdraw(session: DbSession, id: number, amount: number, meanwhile: () => Promise<unknown>) {
  const account = await session.getOrFail(Account, id);
  await meanwhile(); // somebody else changes the row
  account.balance -= amount;
  try {
    await session.commit();
    return null;
  } catch (error) {
    if (!(error instanceof StaleDataError)) throw error;
    return { expected: error.expectedVersion, found: error.found };
  }
}
// #endregion
