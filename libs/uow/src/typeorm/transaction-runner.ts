import type { DataSource, QueryRunner } from 'typeorm';
import type { PhysicalTransaction } from '../transaction/physical-transaction.js';

const runners = new WeakMap<PhysicalTransaction, QueryRunner>();

/** A query runner whose statements go to a session's transaction; made once for each, ended with it. */
export function transactionRunner(dataSource: DataSource, transaction: PhysicalTransaction): QueryRunner {
  let runner = runners.get(transaction);
  if (runner === undefined) {
    runner = dataSource.driver.createQueryRunner('master');
    const client = {
      query: (text: string, parameters?: readonly unknown[]) => transaction.runJoined(text, parameters),
    };
    Object.assign(runner, {
      connect: () => Promise.resolve(client),
      release: () => Promise.resolve(),
      isTransactionActive: true,
      manager: dataSource.createEntityManager(runner),
    });
    runners.set(transaction, runner);
  }
  return runner;
}
