import { DataSource, LessThanOrEqual } from 'typeorm';
import { Account, bankEntities, Measurement, Parent } from '../bank/bank.entities.js';
import type { BenchAddress, BenchContender } from './contender.js';
import { findInTurn } from './find-in-turn.js';
import { transferByTypeorm } from './typeorm-transfer.js';

export async function open({ url, poolSize }: BenchAddress): Promise<BenchContender> {
  const dataSource = new DataSource({ type: 'postgres', url, poolSize, entities: bankEntities });
  await dataSource.initialize();
  return {
    transfer: (source, target, amount) =>
      dataSource.transaction((manager) => transferByTypeorm(manager, source, target, amount)),
    emptyTransaction: () => dataSource.transaction(() => Promise.resolve()),
    joinedCalls: (count) =>
      dataSource.transaction(async (manager) => {
        for (let i = 0; i < count; i++) await manager.transaction(() => Promise.resolve());
      }),
    insertFamilies: (parents, children) =>
      dataSource.transaction((manager) =>
        manager.save(
          Parent,
          Array.from({ length: parents }, (_, i) => ({
            name: `parent ${i}`,
            children: Array.from({ length: children }, (__, position) => ({ position, label: `child ${position}` })),
          })),
        ),
      ),
    changeMeasurements: (count) =>
      dataSource.transaction(async (manager) => {
        const rows = await manager.find(Measurement, { where: { id: LessThanOrEqual(count) } });
        for (const row of rows) row.quantity += 1;
        await manager.save(rows);
      }),
    loadMeasurements: (count) =>
      dataSource.manager.find(Measurement, { where: { id: LessThanOrEqual(count) }, order: { id: 'ASC' } }),
    loadFamilies: () => dataSource.manager.find(Parent, { relations: { children: true } }),
    findAccounts: (work) => work(findInTurn((id) => dataSource.manager.findOneBy(Account, { id }))),
    close: () => dataSource.destroy(),
  };
}
