import { Body, Controller, Get, Injectable, Post } from '@nestjs/common';
import { DbSession, Transactional, UniqueViolationError } from 'nestjs-uow';
import type { DbSessionFactory } from 'nestjs-uow';
import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';

@Entity('users')
export class User {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column('text', { unique: true })
  name!: string;

  constructor(name: string) {
    this.name = name;
  }
}

@Entity('accounts')
export class Account {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column('int')
  balance!: number;
}

// #region both
export async function addBoth(session: DbSession): Promise<void> {
  session.add(new User('Ada'));
  session.add(new User('Grace'));
  await session.commit(); // both rows, or none
}
// #endregion

// #region key
export async function keyBeforeCommit(session: DbSession): Promise<number> {
  const user = new User('John');
  session.add(user);
  await session.flush(); // sent, not committed
  return user.id;
}
// #endregion

// #region early
export async function isTaken(session: DbSession, name: string): Promise<boolean> {
  session.add(new User(name));
  try {
    await session.flush(); // constraints speak now
    return false;
  } catch (error) {
    if (!(error instanceof UniqueViolationError)) throw error;
    await session.rollback();
    return true;
  }
}
// #endregion

// #region by-hand
export async function saveByHand(factory: DbSessionFactory, user: User): Promise<void> {
  const session = factory.open();
  try {
    session.add(user);
    await session.commit();
  } catch (error) {
    await session.rollback();
    throw error;
  } finally {
    await session.close();
  }
}
// #endregion

// #region using
export async function saveWithUsing(factory: DbSessionFactory, user: User): Promise<void> {
  await using session = factory.open();
  session.add(user);
  await session.commit();
} // closed here; what was not committed is rolled back
// #endregion

// #region begin
export async function save(factory: DbSessionFactory, user: User): Promise<void> {
  await factory.begin((session) => {
    session.add(user);
  }); // committed and closed here; a throw rolls back and closes
}
// #endregion

// #region autoflush
export async function countWithNew(session: DbSession): Promise<[number, number]> {
  session.add(new User('Ada'));
  const before = await session.noAutoflush(() => session.count(User)); // does not see Ada
  const after = await session.count(User); // flushes first, and sees her
  return [before, after];
}
// #endregion

// #region request
@Controller('users')
export class UsersController {
  constructor(private readonly session: DbSession) {}

  @Get()
  list(): Promise<User[]> {
    return this.session.find(User); // the session of this request
  }

  @Post()
  @Transactional()
  async create(@Body() { name }: { name: string }): Promise<User> {
    const user = new User(name);
    this.session.add(user);
    await this.session.flush(); // its id is known
    return user; // answered after COMMIT
  }
}
// #endregion

// #region banking-by-hand
export async function moveByHand(session: DbSession, from: number, to: number): Promise<void> {
  const [account1, account2] = await session.getManyOrFail(Account, [from, to]);
  try {
    account1.balance -= 100;
    account2.balance += 100;
    await session.commit();
  } catch (error) {
    await session.rollback(); // both balances are what they were, in memory, too
    throw error;
  }
}
// #endregion

// #region banking
@Injectable()
export class TransferService {
  constructor(private readonly session: DbSession) {}

  @Transactional()
  async move(from: number, to: number, amount: number): Promise<void> {
    const [source, target] = await this.session.getManyOrFail(Account, [from, to], { lock: 'update' });
    source.balance -= amount;
    target.balance += amount;
  } // committed here; a throw rolls back
}
// #endregion
