import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { Transactional, TransactionManager } from 'nestjs-uow';
import { Repository } from 'typeorm';
import { Reservation } from './joining-typeorm.js';

@Injectable()
export class Migrated {
  readonly told: string[] = [];

  constructor(
    @InjectRepository(Reservation) private readonly reservations: Repository<Reservation>,
    private readonly transactions: TransactionManager,
  ) {}

  // #region decorator
  @Transactional({ propagation: 'REQUIRES_NEW', isolation: 'SERIALIZABLE', retry: { attempts: 3 } })
  async reserve(sku: string): Promise<void> {
    await this.reservations.insert({ sku });
    this.transactions.afterCommit(() => {
      this.told.push(sku);
    });
  }
  // #endregion

  // #region programmatic
  async reserveAll(skus: readonly string[]): Promise<void> {
    await this.transactions.run({ label: 'reserve all' }, async () => {
      for (const sku of skus) await this.reservations.insert({ sku });
    });
  }
  // #endregion

  // #region host
  async isReserved(sku: string): Promise<boolean> {
    if (this.transactions.current() === null) {
      return await this.transactions.run({ readOnly: true }, () => this.isReserved(sku));
    }
    return await this.reservations.existsBy({ sku });
  }
  // #endregion
}
