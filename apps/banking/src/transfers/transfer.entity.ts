import { Column, CreateDateColumn, Entity, OneToMany, PrimaryGeneratedColumn, type Relation } from 'typeorm';
import type { Account } from '../accounts/account.entity.js';
import { bigintColumn } from '../database/bigint-column.js';
import type { Currency } from '../money/currency.js';
import type { Money } from '../money/money.js';
import { LedgerEntry } from './ledger-entry.entity.js';

/**
 * Money that went from one account to another, with the two postings that say so in the ledger. A transfer is a fact:
 * it is never changed and never deleted.
 */
@Entity('transfers')
export class Transfer {
  @PrimaryGeneratedColumn('identity', { type: 'bigint', generatedIdentity: 'ALWAYS' })
  readonly id!: string;

  @Column('bigint', { name: 'from_account_id' })
  fromAccountId!: string;

  @Column('bigint', { name: 'to_account_id' })
  toAccountId!: string;

  @Column('text')
  currency!: Currency;

  /** In minor units, always positive. */
  @Column('bigint', { transformer: bigintColumn })
  amount!: bigint;

  /** What the parties call it: an invoice number, a greeting. */
  @Column('text', { nullable: true })
  reference!: string | null;

  @CreateDateColumn({ name: 'created_at', type: 'timestamptz', precision: 3 })
  readonly createdAt!: Date;

  @OneToMany(() => LedgerEntry, (entry) => entry.transfer, { cascade: ['insert'] })
  entries!: Relation<LedgerEntry>[];

  /** The record of money that has just been withdrawn from `source` and deposited to `target`. */
  static between(source: Account, target: Account, money: Money, reference: string | null = null): Transfer {
    const transfer = new Transfer();
    transfer.fromAccountId = source.id;
    transfer.toAccountId = target.id;
    transfer.currency = money.currency;
    transfer.amount = money.amount;
    transfer.reference = reference;
    transfer.entries = [
      LedgerEntry.posting(transfer, source, -money.amount),
      LedgerEntry.posting(transfer, target, money.amount),
    ];
    return transfer;
  }
}
