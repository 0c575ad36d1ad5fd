import type { QueryRunner } from 'typeorm';

/**
 * The query runner that plain TypeORM code gets where a session lives but no transaction is open. Sending the
 * session's pending changes comes first, and that may begin a transaction; so whether TypeORM works on a
 * connection of its own or joins is known only when it runs its first statement.
 *
 * @param runner TypeORM's own, on a connection of its own
 * @param arrive sends what is pending; gives the runner of the transaction that this began, if any
 */
export function createLateRunner(runner: QueryRunner, arrive: () => Promise<QueryRunner | null>): QueryRunner {
  type Calls = Record<
    'query' | 'stream' | 'startTransaction' | 'commitTransaction' | 'rollbackTransaction',
    (...args: unknown[]) => Promise<unknown>
  >;
  const own = runner as unknown as Calls;
  const original: Calls = {
    query: own.query.bind(runner),
    stream: own.stream.bind(runner),
    startTransaction: own.startTransaction.bind(runner),
    commitTransaction: own.commitTransaction.bind(runner),
    rollbackTransaction: own.rollbackTransaction.bind(runner),
  };
  let joined: QueryRunner | null = null;
  let ownTransactions = 0;
  let active = runner.isTransactionActive;

  const settle = async (): Promise<void> => {
    if (joined !== null || ownTransactions > 0) return;
    joined = await arrive();
  };

  own.query = async (...args) => {
    await settle();
    return await (joined === null ? original.query(...args) : (joined as unknown as Calls).query(...args));
  };
  own.stream = async (...args) => {
    await settle();
    return await (joined === null ? original.stream(...args) : (joined as unknown as Calls).stream(...args));
  };
  own.startTransaction = async (...args) => {
    await settle();
    // What TypeORM would wrap into a transaction of its own is part of the one that is open.
    if (joined !== null) return;
    ownTransactions += 1;
    await original.startTransaction(...args);
  };
  own.commitTransaction = async () => {
    if (joined !== null) return;
    await original.commitTransaction();
    ownTransactions -= 1;
  };
  own.rollbackTransaction = async () => {
    if (joined !== null) return;
    ownTransactions -= 1;
    await original.rollbackTransaction();
  };
  Object.defineProperty(runner, 'isTransactionActive', {
    get: () => joined?.isTransactionActive ?? active,
    set: (value: boolean) => {
      active = value;
    },
    configurable: true,
  });
  return runner;
}
