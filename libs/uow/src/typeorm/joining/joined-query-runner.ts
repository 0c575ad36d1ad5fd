import { QueryFailedError } from 'typeorm';
import type { EntityManager, EntityMetadata, ObjectLiteral, QueryRunner } from 'typeorm';
import { isUowError } from '../../errors/uow-error.js';
import type { PhysicalTransaction, Savepoint } from '../../transaction/physical-transaction.js';
import type { JoinedWrite } from '../../transaction/transaction-synchronization.js';
import { cursorStream } from './cursor-stream.js';

/**
 * The query runner that plain TypeORM code sees inside a transaction of this library: one of TypeORM's own,
 * so that logging, subscribers, the shape of results and `QueryFailedError` stay as they are, whose
 * connection is the transaction. Releasing it does nothing; it counts as released when its transaction has
 * ended. TypeORM's transaction calls on it are savepoints, since the transaction belongs to its scope.
 */

/** What a joined runner needs of the data source that it belongs to. */
export interface JoinedRunnerHost {
  /** A query runner as TypeORM makes it, not yet connected. */
  createBareRunner(): QueryRunner;
  /** An entity manager whose work goes through the runner. */
  createManager(runner: QueryRunner): EntityManager;
  /** Keeps a statement that TypeORM has logged from being logged again; found by its array of values. */
  alreadyLogged(values: readonly unknown[]): readonly unknown[];
  /** What a builder's statement writes. */
  writesOf(sql: string): readonly JoinedWrite[];
}

/** How a joined runner finds out what was written, for the session's own objects. */
export type WriteDetection =
  /** By the statements of builders: every object of the entity counts as touched. */
  | 'statement'
  /** By the events of `save` and `remove`, which name each row. */
  | 'event';

type RunnerParts = {
  -readonly [
    Key in 'connect' | 'release' | 'query' | 'stream' | 'startTransaction' | 'commitTransaction' | 'rollbackTransaction'
  ]: QueryRunner[Key];
} & { manager: EntityManager; broadcaster: Record<string, unknown> };

type Broadcast = (
  result: unknown,
  metadata: EntityMetadata,
  entity: ObjectLiteral | undefined,
  ...rest: unknown[]
) => void;

const WRITE_EVENTS: Readonly<Record<string, JoinedWrite['kind']>> = {
  broadcastAfterInsertEvent: 'insert',
  broadcastAfterUpdateEvent: 'save',
  broadcastAfterRemoveEvent: 'remove',
  broadcastAfterSoftRemoveEvent: 'save',
  broadcastAfterRecoverEvent: 'save',
};

/** Makes the runner of one operation of joined code, or of one that the application keeps for a while. */
export function createJoinedRunner(
  host: JoinedRunnerHost,
  transaction: PhysicalTransaction,
  detection: WriteDetection = 'statement',
): QueryRunner {
  const runner = host.createBareRunner();
  const parts = runner as unknown as RunnerParts;
  const savepoints: Savepoint[] = [];

  const tell = (write: JoinedWrite): void => {
    transaction.context.synchronization?.joinedWrite?.(write);
  };

  const query = parts.query.bind(runner) as (
    text: string,
    parameters?: unknown[],
    structured?: boolean,
  ) => Promise<unknown>;

  const client = {
    query: async (text: string, parameters?: readonly unknown[]) =>
      await transaction.runJoined(text, host.alreadyLogged([...(parameters ?? [])])),
  };

  parts.connect = () => Promise.resolve(client);
  parts.release = () => Promise.resolve();
  parts.query = (async (text: string, parameters?: unknown[], structured?: boolean) => {
    // Else TypeORM would say that the runner was released, which nobody did.
    if (!transaction.isActive) throw transaction.closedError('A TypeORM query');
    let result: unknown;
    try {
      result = await query(text, parameters, structured);
    } catch (error) {
      throw asSeenByJoinedCode(transaction, error);
    }
    if (structured !== true) {
      tell({ kind: 'raw' });
    } else if (detection === 'statement') {
      for (const write of host.writesOf(text)) tell(write);
    }
    return result;
  }) as QueryRunner['query'];
  parts.stream = (async (
    text: string,
    parameters?: unknown[],
    onEnd?: () => unknown,
    onError?: (error: unknown) => unknown,
  ) =>
    await Promise.resolve(
      cursorStream(
        async (sql, values) => await transaction.runJoined(sql, values),
        text,
        parameters ?? [],
        onEnd,
        onError,
      ),
    )) as QueryRunner['stream'];

  parts.startTransaction = async () => {
    await broadcast(runner, 'BeforeTransactionStart');
    savepoints.push(await transaction.openSavepoint('queryRunner.startTransaction()'));
    await broadcast(runner, 'AfterTransactionStart');
  };
  parts.commitTransaction = async () => {
    await broadcast(runner, 'BeforeTransactionCommit');
    await transaction.releaseSavepoint(innermost(savepoints));
    await broadcast(runner, 'AfterTransactionCommit');
  };
  parts.rollbackTransaction = async () => {
    await broadcast(runner, 'BeforeTransactionRollback');
    await transaction.rollbackSavepoint(innermost(savepoints));
    await broadcast(runner, 'AfterTransactionRollback');
  };

  Object.defineProperty(runner, 'isTransactionActive', { get: () => transaction.isActive });
  Object.defineProperty(runner, 'isReleased', { get: () => !transaction.isActive });

  if (detection === 'event') listenForWrites(parts.broadcaster, tell);
  // Most operations never ask for it.
  let manager: EntityManager | undefined;
  Object.defineProperty(runner, 'manager', {
    configurable: true,
    get: () => (manager ??= host.createManager(runner)),
    set: (given: EntityManager) => {
      manager = given;
    },
  });
  return runner;
}

function innermost(savepoints: Savepoint[]): Savepoint {
  const savepoint = savepoints.pop();
  if (savepoint === undefined) {
    throw new Error(
      'No savepoint of this query runner is open: the transaction around it belongs to its scope, which ends it.',
    );
  }
  return savepoint;
}

/**
 * TypeORM wraps whatever its driver throws, our own refusals too; those come out as they are. What failed on
 * the server is remembered as the error that the caller saw, so that later errors have that one as cause.
 */
function asSeenByJoinedCode(transaction: PhysicalTransaction, error: unknown): unknown {
  if (!(error instanceof QueryFailedError)) return error;
  if (isUowError(error.driverError)) return error.driverError;
  transaction.substituteFailure(error.driverError, error);
  return error;
}

async function broadcast(runner: QueryRunner, event: string): Promise<void> {
  const { broadcaster } = runner as unknown as {
    broadcaster: { broadcast(event: string): Promise<void> };
  };
  await broadcaster.broadcast(event);
}

function listenForWrites(broadcaster: Record<string, unknown>, tell: (write: JoinedWrite) => void): void {
  for (const [event, kind] of Object.entries(WRITE_EVENTS)) {
    const original = broadcaster[event] as Broadcast;
    broadcaster[event] = function (this: unknown, ...args: Parameters<Broadcast>): void {
      original.apply(broadcaster, args);
      const [, metadata, entity] = args;
      const key = entity === undefined ? undefined : metadata.getEntityIdMap(entity);
      tell({
        kind,
        target: metadata.target,
        ...(key === undefined ? undefined : { keys: [key] }),
      });
    };
  }
}
