import { AsyncLocalStorage } from 'node:async_hooks';
import type { Database } from '../database/database.js';
import type { UnitOwner } from './ambient-unit.js';
import type { PhysicalTransaction } from './physical-transaction.js';
import type { TransactionContext } from './transaction-context.js';
import type { TransactionScope } from './transaction-scope.js';
import type { TurnLevel } from './turns.js';
import type { UnclaimedResult } from './unclaimed.js';

/**
 * Which context and scope the running code is in: frames linked to their parents, carried by one
 * AsyncLocalStorage. State belongs to the async flow; nothing here is global. `enterWith` is never used (it
 * would leak into the next requests of a keep-alive connection).
 */

/** One step inwards: a unit (request, message, job), a scope, or a held turn. */
export interface Frame {
  readonly parent: Frame | null;
  /** The object that made the frame: a transaction manager, to tell applications apart. */
  readonly owner: UnitOwner;
  /** The context of the data source at this step; `null` where the step has none of it. */
  contextOf(database: Database): TransactionContext | null;
  /** The scope that the code inside belongs to; absent for units. */
  readonly scope?: TransactionScope | null;
  /** The transaction that the code inside works in, and its level of turns there. */
  readonly transaction?: PhysicalTransaction | null;
  readonly level?: TurnLevel | null;
  /** What was handed out here and has not been claimed; mostly nothing. */
  unclaimed: Set<UnclaimedResult> | null;
  /** Completing code (hooks, the last flush) may go on where its scope takes nothing new any more. */
  readonly completing?: boolean;
}

/** The frame of work that completes a scope or belongs to an operation under way: it has a turn of its own. */
export class CompletingFrame implements Frame {
  readonly completing = true;
  unclaimed: Set<UnclaimedResult> | null = null;

  constructor(
    readonly parent: Frame | null,
    readonly owner: UnitOwner,
    readonly scope: TransactionScope | null,
    readonly transaction: PhysicalTransaction,
    readonly level: TurnLevel,
  ) {}

  contextOf(database: Database): TransactionContext | null {
    const { context } = this.transaction;
    return database === context.database ? context : null;
  }
}

const storage = new AsyncLocalStorage<Frame | undefined>();

/** The innermost frame of the running code. */
export function currentFrame(): Frame | undefined {
  return storage.getStore();
}

/** Runs `fn` inside the frame. */
export function runInFrame<T>(frame: Frame | undefined, fn: () => T): T {
  return storage.run(frame, fn);
}

/** Calls `fn` inside the frame; what begins its work only when it is awaited (a query builder, say) does so inside, too. */
export function awaitInFrame<T>(frame: Frame, fn: () => T | PromiseLike<T>): Promise<T> {
  return storage.run(frame, callAndResolve<T>, fn);
}

function callAndResolve<T>(fn: () => T | PromiseLike<T>): Promise<T> {
  return Promise.resolve(fn());
}

/** Runs `fn` outside every frame: connections opened there hold no request. */
export function runDetached<T>(fn: () => T): T {
  return storage.getStore() === undefined ? fn() : storage.run(undefined, fn);
}

/** The context of the data source that the running code is in. */
export function ambientContext(database: Database): TransactionContext | null {
  for (let frame: Frame | null | undefined = storage.getStore(); frame; frame = frame.parent) {
    const context = frame.contextOf(database);
    if (context !== null) return context;
  }
  return null;
}

/** The innermost frame of the running code that belongs to the data source. */
export function ambientFrame(database: Database): Frame | null {
  for (let frame: Frame | null | undefined = storage.getStore(); frame; frame = frame.parent) {
    if (frame.contextOf(database) !== null) return frame;
  }
  return null;
}

/** The innermost scope of the running code in the application, whatever its data source. */
export function innermostScope(owner: object): TransactionScope | null {
  for (let frame: Frame | null | undefined = storage.getStore(); frame; frame = frame.parent) {
    if (frame.owner === owner) return frame.scope ?? null;
  }
  return null;
}

/** The innermost frame that works in the transaction. */
export function frameIn(transaction: PhysicalTransaction): Frame | null {
  for (let frame: Frame | null | undefined = storage.getStore(); frame; frame = frame.parent) {
    if (frame.transaction === transaction) return frame;
  }
  return null;
}

/**
 * The transaction that plain TypeORM code joins here: the declared scope's, or one that the context's session
 * opened by hand. `null` where there is none.
 */
export function ambientTransaction(database: Database): PhysicalTransaction | null {
  const frame = ambientFrame(database);
  if (frame === null) return null;
  if (frame.transaction != null) return frame.transaction;
  if (frame.scope != null) return null;
  const open = frame.contextOf(database)?.transaction ?? null;
  return open === null || open.origin === 'declared' ? null : open;
}

/** An open transaction of the running code on another data source than the given one. */
export function transactionElsewhere(database: Database): PhysicalTransaction | null {
  for (let frame: Frame | null | undefined = storage.getStore(); frame; frame = frame.parent) {
    const { transaction } = frame;
    if (transaction != null && transaction.isActive && transaction.database !== database) {
      return transaction;
    }
  }
  return null;
}
