import { Column, CreateDateColumn, Entity, PrimaryGeneratedColumn, VersionColumn } from 'typeorm';
import type { Customer } from '../customers/customer.entity.js';
import { bigintColumn } from '../database/bigint-column.js';
import type { Currency } from '../money/currency.js';
import type { Money } from '../money/money.js';
import {
  AccountNotActive,
  AccountNotEmpty,
  BalanceLimitExceeded,
  BankOwnedAccount,
  CurrencyMismatch,
  InsufficientFunds,
} from './account-errors.js';

/** What may be done with an account. A closed account stays for its history. */
export const ACCOUNT_STATUSES = ['active', 'frozen', 'closed'] as const;
export type AccountStatus = (typeof ACCOUNT_STATUSES)[number];

/** The largest `bigint` of PostgreSQL. */
const LARGEST_BALANCE = 9_223_372_036_854_775_807n;

/**
 * An account in one currency. The balance is kept beside the ledger, for speed, and always equals the sum of the
 * account's ledger entries: both are written by the same transaction, with the account's row locked.
 *
 * A `settlement` account is the bank's own side of money that enters or leaves it. There is one for each currency;
 * it belongs to no customer, and may go below zero as far as it likes.
 */
@Entity('accounts')
export class Account {
  @PrimaryGeneratedColumn('identity', { type: 'bigint', generatedIdentity: 'ALWAYS' })
  readonly id!: string;

  @Column('text')
  kind!: 'customer' | 'settlement';

  @Column('bigint', { name: 'customer_id', nullable: true })
  customerId!: string | null;

  @Column('text')
  currency!: Currency;

  /** In minor units. Changed by {@link withdraw} and {@link deposit} only. */
  @Column('bigint', { transformer: bigintColumn })
  balance!: bigint;

  /** How far below zero the balance may go, in minor units: 0 for an account without overdraft. */
  @Column('bigint', { name: 'overdraft_limit', transformer: bigintColumn })
  overdraftLimit!: bigint;

  @Column('text')
  status!: AccountStatus;

  @VersionColumn()
  readonly version!: number;

  @CreateDateColumn({ name: 'created_at', type: 'timestamptz', precision: 3 })
  readonly createdAt!: Date;

  /** An active account with nothing on it, not in the database yet. */
  static open(customer: Customer, currency: Currency, overdraftLimit = 0n): Account {
    const account = new Account();
    account.kind = 'customer';
    account.customerId = customer.id;
    account.currency = currency;
    account.balance = 0n;
    account.overdraftLimit = overdraftLimit;
    account.status = 'active';
    return account;
  }

  /** Takes money out, or throws a refusal and changes nothing. */
  withdraw(money: Money): void {
    this.expectUsable(money);
    if (this.balance - money.amount < -this.overdraftLimit) throw new InsufficientFunds(this, money);
    this.balance -= money.amount;
  }

  /** Puts money in, or throws a refusal and changes nothing. */
  deposit(money: Money): void {
    this.expectUsable(money);
    if (this.balance + money.amount > LARGEST_BALANCE) throw new BalanceLimitExceeded(this);
    this.balance += money.amount;
  }

  /** Freezes, thaws or closes the account. Closed is final, and asks for a balance of zero. */
  changeStatus(status: AccountStatus): void {
    this.expectCustomers();
    if (this.status === 'closed' && status !== 'closed') throw new AccountNotActive(this);
    if (status === 'closed' && this.balance !== 0n) throw new AccountNotEmpty(this);
    this.status = status;
  }

  /** Refuses orders from outside on the bank's own accounts. */
  expectCustomers(): void {
    if (this.kind !== 'customer') throw new BankOwnedAccount(this);
  }

  private expectUsable(money: Money): void {
    if (money.amount <= 0n) throw new RangeError(`Money moves in positive amounts, not ${money}`);
    if (this.status !== 'active') throw new AccountNotActive(this);
    if (this.currency !== money.currency) throw new CurrencyMismatch(this, money);
  }
}
