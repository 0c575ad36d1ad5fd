import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { AfterCommitError, CommitOutcomeUnknownError, Transactional, TransactionManager } from 'nestjs-uow';
import { Column, Entity, PrimaryGeneratedColumn, Repository } from 'typeorm';

@Entity()
export class Order {
  @PrimaryGeneratedColumn('identity')
  id!: number;

  @Column({ type: 'text' })
  item!: string;

  @Column({ type: 'text', default: 'open' })
  state!: string;
}

@Entity()
export class AuditEntry {
  @PrimaryGeneratedColumn('identity')
  id!: number;

  @Column({ type: 'text' })
  text!: string;
}

export class OutOfStock extends Error {}

/** Stands for a mail server. */
export const mailer = {
  sent: [] as string[],
  send(text: string): Promise<void> {
    this.sent.push(text);
    return Promise.resolve();
  },
};

// #region audit-required
@Injectable()
export class AuditService {
  constructor(@InjectRepository(AuditEntry) private readonly entries: Repository<AuditEntry>) {}

  @Transactional()
  async write(text: string): Promise<void> {
    await this.entries.insert({ text });
  }
  // #endregion

  // #region audit-requires-new
  @Transactional({ propagation: 'REQUIRES_NEW' })
  async writeInAnyCase(text: string): Promise<void> {
    await this.entries.insert({ text });
  } // stored here, whatever becomes of the caller
  // #endregion
}

@Injectable()
export class OrderService {
  constructor(
    @InjectRepository(Order) private readonly orders: Repository<Order>,
    private readonly audit: AuditService,
    private readonly transactions: TransactionManager,
  ) {}

  // #region declare
  @Transactional()
  async place(item: string): Promise<Order> {
    const order = await this.orders.save({ item });
    await this.audit.write(`order ${order.id}`); // joins: one transaction, one COMMIT
    return order;
  }
  // #endregion

  // #region requires-new
  @Transactional()
  async cancel(id: number): Promise<void> {
    await this.audit.writeInAnyCase(`somebody tries to cancel order ${id}`);
    const { affected } = await this.orders.update({ id, state: 'open' }, { state: 'cancelled' });
    if (affected === 0) throw new Error(`Order ${id} cannot be cancelled`);
  }
  // #endregion

  // #region nested
  @Transactional()
  async placeAll(items: readonly string[]): Promise<{ readonly refused: string[] }> {
    const refused: string[] = [];
    for (const item of items) {
      await this.placeOne(item).catch(() => refused.push(item)); // only this one is undone
    }
    return { refused };
  }

  @Transactional({ propagation: 'NESTED' })
  async placeOne(item: string): Promise<void> {
    await this.place(item);
    if (item === 'unicorn') throw new OutOfStock(item);
  }
  // #endregion

  // #region siblings
  @Transactional()
  async placeTogether(items: readonly string[]): Promise<PromiseSettledResult<void>[]> {
    return Promise.allSettled(items.map((item) => this.placeOne(item))); // one after the other, each for itself
  }
  // #endregion

  // #region swallowed
  @Transactional()
  async placeTwice(id: number): Promise<string> {
    await this.orders.insert({ id, item: 'first' });
    await this.orders.insert({ id, item: 'second' }).catch(() => undefined); // swallowed
    return 'done'; // never reaches the caller: TransactionRolledBackError does
  }
  // #endregion

  // #region programmatic
  async close(id: number): Promise<void> {
    await this.transactions.run({ isolation: 'SERIALIZABLE', retry: { attempts: 3 } }, async () => {
      await this.orders.update({ id }, { state: 'closed' });
      await this.audit.write(`closed ${id}, attempt ${this.transactions.current()?.attempt}`);
    });
  }
  // #endregion

  // #region deadline
  @Transactional({ timeout: 2_000, readOnly: true })
  async report(): Promise<number> {
    return this.orders.count();
  }
  // #endregion

  // #region signal
  async exportAll(signal: AbortSignal): Promise<Order[]> {
    return this.transactions.run({ signal, isolation: 'REPEATABLE READ' }, () => this.orders.find());
  }
  // #endregion

  // #region locals
  async ordersOf(tenant: string): Promise<Order[]> {
    return this.transactions.run({ locals: { 'app.tenant': tenant } }, () => this.orders.find());
  }
  // #endregion

  // #region no-rollback
  @Transactional({ noRollbackFor: OutOfStock })
  async request(item: string): Promise<Order> {
    const order = await this.orders.save({ item, state: 'requested' });
    if (item === 'unicorn') throw new OutOfStock(item); // committed, and thrown on
    return order;
  }
  // #endregion

  // #region rollback-only
  @Transactional()
  async quote(items: readonly string[]): Promise<number> {
    for (const item of items) await this.place(item); // as if it were real: constraints, triggers, prices
    this.transactions.setRollbackOnly('only a quote');
    return this.orders.count();
  } // rolled back, and the value is returned
  // #endregion

  // #region hooks
  @Transactional()
  async placeAndTell(item: string): Promise<Order> {
    const order = await this.place(item);
    this.transactions.afterCommit(() => mailer.send(`order ${order.id} is placed`));
    return order;
  }
  // #endregion

  // #region hooks-before
  @Transactional()
  async placeUnderLimit(item: string): Promise<Order> {
    this.transactions.beforeCommit(async () => {
      const open = await this.orders.countBy({ state: 'open' });
      if (open > 100) throw new Error('Too many open orders'); // rolls back
    });
    return this.place(item);
  }
  // #endregion

  // #region detach
  @Transactional()
  async placeAndWarm(item: string): Promise<Order> {
    const order = await this.place(item);
    void this.transactions.detach(() => this.report()); // goes on by itself, in no transaction of ours
    return order;
  }
  // #endregion
}

// #region outcome
/** @returns whether the order is stored: for certain, or `undefined` where nobody can tell */
export async function placed(orders: OrderService, item: string): Promise<boolean | undefined> {
  try {
    await orders.placeAndTell(item);
    return true;
  } catch (error) {
    if (error instanceof AfterCommitError) return true; // committed; the mail was not sent
    if (error instanceof CommitOutcomeUnknownError) return undefined; // look before doing it again
    return false; // nothing of it stays
  }
}
// #endregion
