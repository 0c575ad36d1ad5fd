import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { Transactional } from 'nestjs-uow';
import type { Repository } from 'typeorm';
import { Account } from '../accounts/account.entity.js';
import { UnknownAccount } from '../accounts/account-errors.js';
import { LedgerEntry } from '../transfers/ledger-entry.entity.js';

/** A stretch of an account's history. */
export interface StatementPage {
  readonly account: Account;
  /** Latest first, each with its transfer. */
  readonly entries: readonly LedgerEntry[];
  /** The id below which the next page begins; `null` at the end. */
  readonly next: string | null;
}

/** Account statements, by ordinary TypeORM repositories under one transaction. */
@Injectable()
export class StatementsService {
  constructor(
    @InjectRepository(Account) private readonly accounts: Repository<Account>,
    @InjectRepository(LedgerEntry) private readonly entries: Repository<LedgerEntry>,
  ) {}

  /** The latest `limit` entries, of those with an id below `before`. Balance and entries are of one moment. */
  @Transactional({ isolation: 'REPEATABLE READ', readOnly: true })
  async page(accountId: string, limit: number, before?: string): Promise<StatementPage> {
    const account = await this.accounts.findOneBy({ id: accountId });
    if (account === null) throw new UnknownAccount(accountId);
    const query = this.entries
      .createQueryBuilder('entry')
      .innerJoinAndSelect('entry.transfer', 'transfer')
      .where('entry.accountId = :accountId', { accountId })
      .orderBy('entry.id', 'DESC')
      // One more than asked for tells whether there is a next page.
      .limit(limit + 1);
    if (before !== undefined) query.andWhere('entry.id < :before', { before });
    const found = await query.getMany();
    const entries = found.slice(0, limit);
    return { account, entries, next: found.length > limit ? (entries.at(-1)?.id ?? null) : null };
  }
}
