import { Injectable } from '@nestjs/common';
import { InjectEntityManager, InjectRepository } from '@nestjs/typeorm';
import { Transactional } from 'nestjs-uow';
import { type EntityManager, MoreThan, type Repository } from 'typeorm';
import { Account } from '../accounts/account.entity.js';
import { AccountsService } from '../accounts/accounts.service.js';
import { Customer } from '../customers/customer.entity.js';
import { CustomersService } from '../customers/customers.service.js';
import type { Currency } from '../money/currency.js';

/** Held while a process looks whether the bank is new and, if so, fills it: 'seed' in ASCII. */
const SEED_LOCK = 0x73656564;

/** A few customers and accounts to try the API on. */
@Injectable()
export class DemoBankService {
  constructor(
    private readonly customersService: CustomersService,
    private readonly accountsService: AccountsService,
    @InjectEntityManager() private readonly manager: EntityManager,
    @InjectRepository(Customer) private readonly customers: Repository<Customer>,
    @InjectRepository(Account) private readonly accounts: Repository<Account>,
  ) {}

  /**
   * Fills a bank that has no customers yet; otherwise does nothing. All of it is one transaction, joined by the services
   * that it calls, and of several processes that start at once only one does it.
   */
  @Transactional()
  async seed(): Promise<void> {
    await this.manager.query('select pg_advisory_xact_lock($1)', [SEED_LOCK]);
    if (await this.customers.exists()) return;
    const ada = await this.customersService.register('Ada Lovelace', 'ada@example.com');
    const grace = await this.customersService.register('Grace Hopper', 'grace@example.com');
    await this.open(ada, 'EUR', 250_000n);
    await this.open(grace, 'EUR', 100_000n);
    await this.open(grace, 'USD', 500_000n);
  }

  /** Two active accounts in one currency, the first with something on it: what the examples in the console need. */
  async examples(): Promise<readonly [Account, Account] | null> {
    const active = { kind: 'customer', status: 'active' } as const;
    const source = await this.accounts.findOne({ where: { ...active, balance: MoreThan(100n) }, order: { id: 'ASC' } });
    if (source === null) return null;
    const { currency } = source;
    const target = await this.accounts
      .createQueryBuilder('account')
      .where({ ...active, currency })
      .andWhere('account.id <> :id', { id: source.id })
      .orderBy('account.id')
      .getOne();
    return target === null ? null : [source, target];
  }

  private async open(customer: Customer, currency: Currency, openingDeposit: bigint): Promise<void> {
    await this.accountsService.open({ customerId: customer.id, currency, openingDeposit, overdraftLimit: 0n });
  }
}
