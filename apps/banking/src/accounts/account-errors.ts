import type { Money } from '../money/money.js';
import { Refusal } from '../refusals/refusal.js';
import type { Account } from './account.entity.js';

/** The account would fall below what it may. */
export class InsufficientFunds extends Refusal {
  override readonly name = 'InsufficientFunds';

  constructor(account: Account, wanted: Money) {
    super('insufficient-funds', `Account ${account.id} does not have ${wanted} to give.`);
  }
}

/** Money of one currency meets an account of another. The bank does not exchange. */
export class CurrencyMismatch extends Refusal {
  override readonly name = 'CurrencyMismatch';

  constructor(account: Account, offered: Money) {
    super(
      'currency-mismatch',
      `Account ${account.id} is kept in ${account.currency}, the amount is in ${offered.currency}.`,
    );
  }
}

/** A frozen or closed account neither gives nor takes. */
export class AccountNotActive extends Refusal {
  override readonly name = 'AccountNotActive';

  constructor(account: Account) {
    super('account-not-active', `Account ${account.id} is ${account.status}.`);
  }
}

/** Only an empty account can be closed. */
export class AccountNotEmpty extends Refusal {
  override readonly name = 'AccountNotEmpty';

  constructor(account: Account) {
    super('account-not-empty', `Account ${account.id} still has a balance and cannot be closed.`);
  }
}

/** The balance would no longer fit the ledger's 64 bits. */
export class BalanceLimitExceeded extends Refusal {
  override readonly name = 'BalanceLimitExceeded';

  constructor(account: Account) {
    super('balance-limit-exceeded', `Account ${account.id} cannot hold that much.`);
  }
}

/** The bank's own accounts are moved by the bank alone. */
export class BankOwnedAccount extends Refusal {
  override readonly name = 'BankOwnedAccount';

  constructor(account: Account) {
    super('bank-owned-account', `Account ${account.id} belongs to the bank and takes no orders.`);
  }
}

/** The caller decided on what the account no longer is. Not a refusal: looking again may well help. */
export class AccountChangedMeanwhile extends Error {
  override readonly name = 'AccountChangedMeanwhile';

  constructor(account: Account) {
    super(`Account ${account.id} has changed meanwhile; it is at version ${account.version}.`);
  }
}

/** There is no account of that id. */
export class UnknownAccount extends Refusal {
  override readonly name = 'UnknownAccount';

  constructor(id: string, options?: ErrorOptions) {
    super('unknown-account', `There is no account ${id}.`, options);
  }
}
