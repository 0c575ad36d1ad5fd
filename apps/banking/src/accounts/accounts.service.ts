import { Injectable } from '@nestjs/common';
import { DbSession, Transactional } from 'nestjs-uow';
import { Customer } from '../customers/customer.entity.js';
import type { Currency } from '../money/currency.js';
import { Money } from '../money/money.js';
import { Transfer } from '../transfers/transfer.entity.js';
import { Account, type AccountStatus } from './account.entity.js';
import { AccountChangedMeanwhile } from './account-errors.js';

/** What a customer brings to an opening. */
export interface Opening {
  readonly customerId: string;
  readonly currency: Currency;
  readonly openingDeposit: bigint;
  readonly overdraftLimit: bigint;
}

/** Opens accounts, shows them, freezes and closes them. Moving money between them is the transfers' affair. */
@Injectable()
export class AccountsService {
  constructor(private readonly session: DbSession) {}

  /** Opens an account. An opening deposit comes from the bank's settlement account, so that the ledger adds up. */
  @Transactional()
  async open({ customerId, currency, openingDeposit, overdraftLimit }: Opening): Promise<Account> {
    const customer = await this.session.getOrFail(Customer, customerId);
    const account = Account.open(customer, currency, overdraftLimit);
    this.session.add(account);
    // The postings of the opening deposit name the account by its id, which the database gives.
    await this.session.flush();
    if (openingDeposit > 0n) {
      const settlement = await this.session.findOneOrFail(Account, {
        where: { kind: 'settlement', currency },
        lock: 'update',
      });
      const deposit = new Money(openingDeposit, currency);
      settlement.withdraw(deposit);
      account.deposit(deposit);
      this.session.add(Transfer.between(settlement, account, deposit, 'Opening deposit'));
    }
    return account;
  }

  /** The account as it is now. */
  async get(id: string): Promise<Account> {
    return await this.session.getOrFail(Account, id);
  }

  // #region status
  /**
   * Freezes, thaws or closes an account, if it still is at the version that the caller has seen. Nothing is locked:
   * money that moves between the read and the write makes the flush fail, since it raises the version.
   */
  @Transactional()
  async changeStatus(id: string, status: AccountStatus, seenVersion: number): Promise<Account> {
    const account = await this.session.getOrFail(Account, id);
    if (account.version !== seenVersion) throw new AccountChangedMeanwhile(account);
    account.changeStatus(status);
    return account;
  }
  // #endregion
}
