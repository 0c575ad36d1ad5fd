import { Injectable } from '@nestjs/common';
import { InjectDataSource, InjectRepository } from '@nestjs/typeorm';
import { DbSession, Transactional } from 'nestjs-uow';
import { Column, DataSource, Entity, PrimaryColumn, PrimaryGeneratedColumn, Repository } from 'typeorm';

@Entity()
export class Product {
  @PrimaryColumn('text')
  sku!: string;

  @Column()
  stock!: number;
}

@Entity()
export class Reservation {
  @PrimaryGeneratedColumn('identity')
  id!: number;

  @Column('text')
  sku!: string;
}

export class SoldOutError extends Error {}

// #region service
@Injectable()
export class Reservations {
  constructor(
    @InjectRepository(Product) private readonly products: Repository<Product>,
    @InjectRepository(Reservation) private readonly reservations: Repository<Reservation>,
    @InjectDataSource() private readonly dataSource: DataSource,
  ) {}

  @Transactional()
  async reserve(sku: string): Promise<Reservation> {
    const { affected } = await this.products
      .createQueryBuilder()
      .update()
      .set({ stock: () => 'stock - 1' })
      .where('sku = :sku AND stock > 0', { sku })
      .execute();
    const reservation = await this.reservations.save({ sku });
    await this.dataSource.query('SELECT pg_notify($1, $2)', ['reserved', sku]);
    if (affected === 0) throw new SoldOutError(sku);
    return reservation;
  }
}
// #endregion

@Injectable()
export class Stock {
  constructor(
    @InjectRepository(Product) private readonly products: Repository<Product>,
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly session: DbSession,
  ) {}

  // #region nested
  @Transactional()
  async restock(skus: string[]): Promise<string[]> {
    const failed: string[] = [];
    for (const sku of skus) {
      await this.dataSource
        .transaction(async (manager) => {
          await manager.increment(Product, { sku }, 'stock', 10);
          await manager.insert(Reservation, { sku });
        })
        .catch(() => failed.push(sku));
    }
    return failed;
  }
  // #endregion

  // #region way-out
  async backup(): Promise<void> {
    const runner = this.dataSource.createQueryRunner();
    try {
      await runner.query('SELECT pg_advisory_lock(1)');
      await runner.query('SELECT pg_advisory_unlock(1)');
    } finally {
      await runner.release();
    }
  }
  // #endregion

  // #region mixed
  @Transactional()
  async halve(sku: string): Promise<number> {
    const product = await this.session.getOrFail(Product, sku);
    product.stock = Math.floor(product.stock / 2);
    // The repository's query sees the change: it is flushed first.
    return await this.products.sum('stock').then((total) => total ?? 0);
  }
  // #endregion
}
