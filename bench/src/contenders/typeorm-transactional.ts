import { DataSource } from 'typeorm';
import {
  addTransactionalDataSource,
  initializeTransactionalContext,
  StorageDriver,
  Transactional,
} from 'typeorm-transactional';
import { bankEntities } from '../bank/bank.entities.js';
import type { BenchAddress, BenchContender, TransferDesk } from './contender.js';
import { transferByTypeorm } from './typeorm-transfer.js';

class Desk implements TransferDesk {
  constructor(readonly dataSource: DataSource) {}

  @Transactional()
  async transfer(source: number, target: number, amount: number): Promise<void> {
    await transferByTypeorm(this.dataSource.manager, source, target, amount);
  }

  @Transactional()
  async nothing(): Promise<void> {}

  @Transactional()
  async joinedCalls(count: number): Promise<void> {
    for (let i = 0; i < count; i++) await this.nothing();
  }
}

export async function open({ url, poolSize }: BenchAddress): Promise<BenchContender> {
  initializeTransactionalContext({ storageDriver: StorageDriver.ASYNC_LOCAL_STORAGE });
  const dataSource = new DataSource({ type: 'postgres', url, poolSize, entities: bankEntities });
  await dataSource.initialize();
  addTransactionalDataSource(dataSource);
  const desk = new Desk(dataSource);
  return {
    transfer: (source, target, amount) => desk.transfer(source, target, amount),
    emptyTransaction: () => desk.nothing(),
    joinedCalls: (count) => desk.joinedCalls(count),
    close: () => dataSource.destroy(),
  };
}
