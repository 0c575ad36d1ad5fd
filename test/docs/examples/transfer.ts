import { Injectable } from '@nestjs/common';
import { DbSession, Transactional } from 'nestjs-uow';
import { Column, Entity, ManyToOne, PrimaryGeneratedColumn } from 'typeorm';

/** PostgreSQL's bigint as a bigint: the driver gives text. */
const money = {
  to: (value: bigint) => value.toString(),
  from: (value: string) => BigInt(value),
};

@Entity()
export class Account {
  @PrimaryGeneratedColumn('identity')
  id!: number;

  @Column({ type: 'bigint', transformer: money })
  balance!: bigint;

  withdraw(amount: bigint): void {
    if (amount > this.balance) throw new Error(`Account ${this.id} has too little money`);
    this.balance -= amount;
  }

  deposit(amount: bigint): void {
    this.balance += amount;
  }
}

@Entity()
export class Transfer {
  @PrimaryGeneratedColumn('identity')
  id!: number;

  @ManyToOne(() => Account, { nullable: false })
  source: Account;

  @ManyToOne(() => Account, { nullable: false })
  target: Account;

  @Column({ type: 'bigint', transformer: money })
  amount: bigint;

  constructor(source: Account, target: Account, amount: bigint) {
    this.source = source;
    this.target = target;
    this.amount = amount;
  }
}

// #region service
@Injectable()
export class TransferService {
  constructor(private readonly session: DbSession) {}

  @Transactional()
  async transfer(from: number, to: number, amount: bigint): Promise<Transfer> {
    const [source, target] = await this.session.getManyOrFail(Account, [from, to], {
      lock: 'update',
    });
    source.withdraw(amount); // plain objects: changes are tracked
    target.deposit(amount);
    const transfer = new Transfer(source, target, amount);
    this.session.add(transfer);
    return transfer;
  } // flushed and committed here; any throw rolls everything back
}
// #endregion
