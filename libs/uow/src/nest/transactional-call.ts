import type { Subscribable } from 'rxjs';
import type { Database } from '../database/database.js';
import { NoApplicationError } from '../errors/transaction-errors.js';
import { currentFrame } from '../transaction/ambient.js';
import { TransactionManager } from '../transaction/transaction-manager.js';
import { HeldScope } from './held-scope.js';
import type { RunScope } from './held-scope.js';
import { ownerOf } from './owning-application.js';
import { PendingResult } from './pending-results.js';
import { resultKind } from './result-kind.js';
import type { ResultKind } from './result-kind.js';
import { transactionalIterable } from './transactional-iterable.js';
import { takeOpened } from './transactional-method.js';
import type { TransactionalMethod } from './transactional-method.js';
import { transactionalObservable } from './transactional-observable.js';

/**
 * The application that a call belongs to: that of the object, where Nest made it; else that of the running
 * code, for objects made by `new` or by a factory.
 *
 * @throws NoApplicationError where there is neither
 */
export function applicationOf(self: unknown, label: string): TransactionManager {
  const manager = ownerOf(self) ?? runningManager();
  if (manager !== undefined) return manager;
  throw new NoApplicationError(
    `${label} is transactional, but the object that it was called on belongs to no running application with UowModule, and nothing around the call does. ` +
      `Let Nest provide the object, call it inside TransactionManager.run(), or, in a unit test that makes it by "new", test the method against an application of its own (Test.createTestingModule).`,
  );
}

function runningManager(): TransactionManager | undefined {
  const owner = currentFrame()?.owner;
  return owner instanceof TransactionManager ? owner : undefined;
}

/**
 * Runs one call of a transactional method.
 *
 * The method is called at once, in its scope. A promise ends the scope when it settles; an Observable and an
 * async iterable keep it open for their first subscriber.
 */
export function invokeTransactional(
  wrapper: object,
  declaration: TransactionalMethod,
  self: unknown,
  args: unknown[],
): unknown {
  const { original, declaredKind } = declaration;
  let manager: TransactionManager;
  try {
    manager = applicationOf(self, declaration.label);
  } catch (error) {
    if (declaredKind !== 'promise') throw error;
    return Promise.reject(error);
  }
  const call = (): unknown => original.apply(self, args);
  if (takeOpened(manager, wrapper)) return call();
  if (declaredKind === 'plain' && declaration.byClass) return call();
  const database = manager.database(declaration.options.dataSource);
  const { definition } = declaration;
  const run: RunScope = (fn) => manager.execute(database, definition, fn);
  if (declaredKind === 'promise') return run(call as () => Promise<unknown>);
  if (declaredKind === 'iterable') {
    // Nothing of an async generator runs before its first step.
    const generator = call() as AsyncIterable<unknown>;
    return transactionalIterable(run, () => generator);
  }
  return callAndSee(declaration, database, run, call);
}

/** What methods have been seen to return, for calls that have to wait for their turn before they are made. */
const seenKinds = new WeakMap<TransactionalMethod, ResultKind>();

/** Calls a method of which only the result tells of what kind it is. */
function callAndSee(declaration: TransactionalMethod, database: Database, run: RunScope, call: () => unknown): unknown {
  const outcome: CallOutcome = { seen: null, result: undefined, threw: null };
  const held = new HeldScope(run, () => {
    try {
      outcome.result = call();
    } catch (error) {
      outcome.threw ??= { error };
      throw error;
    }
    outcome.seen = resultKind(outcome.result);
    seenKinds.set(declaration, outcome.seen);
    if (outcome.seen === 'promise') return outcome.result as Promise<unknown>;
    return outcome.seen === 'plain' && !declaration.byClass ? Promise.resolve(outcome.result) : undefined;
  });
  if (outcome.threw !== null && declaration.byClass) throw outcome.threw.error;
  if (outcome.seen === 'plain' && declaration.byClass) {
    held.succeed();
    reportFailure(held, declaration, database);
    return outcome.result;
  }
  const kind = outcome.seen ?? seenKinds.get(declaration) ?? declaration.declaredKind;
  if (outcome.threw !== null || (kind !== 'observable' && kind !== 'iterable')) {
    // A promise of its own: nobody else has heard of this one's failure.
    return held.done.then((value) => value);
  }
  const pending = new PendingResult(held, declaration.label, database.options.warnAfter, database.report);
  const first = (): HeldScope | null => pending.take();
  if (kind === 'iterable') {
    return transactionalIterable(run, () => outcome.result as AsyncIterable<unknown>, first);
  }
  const retries = declaration.options.retry !== undefined;
  return transactionalObservable(run, () => outcome.result as Subscribable<unknown>, retries, first);
}

/** What a call came to, as far as it was made. */
interface CallOutcome {
  seen: ResultKind | null;
  result: unknown;
  threw: { readonly error: unknown } | null;
}

/** Nobody waits for the transaction of a method that returned a plain value. */
function reportFailure(held: HeldScope, { label }: TransactionalMethod, { report }: Database): void {
  held.done.catch((error: unknown) => {
    report({
      code: 'UOW_WARN_UNOBSERVED_FAILURE',
      message: `${label} returned no promise, so nobody hears that its transaction failed: ${String(error)}. Make it async.`,
      error,
    });
  });
}
