import { Column, Entity, JoinColumn, ManyToOne, PrimaryGeneratedColumn, type Relation } from 'typeorm';
import type { Account } from '../accounts/account.entity.js';
import { bigintColumn } from '../database/bigint-column.js';
import type { Currency } from '../money/currency.js';
import { Transfer } from './transfer.entity.js';

/**
 * One posting of a transfer to one account: negative where money left, positive where it arrived. The postings of a
 * transfer sum to zero, which the schema checks at commit.
 *
 * The ids of one account's entries rise in the order of their commits, since its row is locked when they are drawn.
 * Statements page by them.
 */
@Entity('ledger_entries')
export class LedgerEntry {
  @PrimaryGeneratedColumn('identity', { type: 'bigint', generatedIdentity: 'ALWAYS' })
  readonly id!: string;

  @ManyToOne(() => Transfer, (transfer) => transfer.entries, { nullable: false })
  @JoinColumn({ name: 'transfer_id' })
  transfer!: Relation<Transfer>;

  @Column('bigint', { name: 'account_id' })
  accountId!: string;

  @Column('text')
  currency!: Currency;

  /** In minor units, signed. */
  @Column('bigint', { transformer: bigintColumn })
  amount!: bigint;

  /** The account's balance right after this posting. */
  @Column('bigint', { name: 'balance_after', transformer: bigintColumn })
  balanceAfter!: bigint;

  /** A posting to an account whose balance has already been moved by `amount`. */
  static posting(transfer: Transfer, account: Account, amount: bigint): LedgerEntry {
    const entry = new LedgerEntry();
    entry.transfer = transfer;
    entry.accountId = account.id;
    entry.currency = transfer.currency;
    entry.amount = amount;
    entry.balanceAfter = account.balance;
    return entry;
  }
}
