import type { Report } from '../diagnostics/report.js';
import { IllegalTransactionStateError } from '../errors/transaction-errors.js';

/** How a transaction ended, as `afterCompletion` hooks hear it (Spring's completion status). */
export type CompletionStatus = 'committed' | 'rolledBack' | 'unknown';

type Hook<Args extends unknown[] = []> = (...args: Args) => unknown;

/** The kinds of hooks, in the order in which they run. */
export type HookName = 'beforeCommit' | 'beforeCompletion' | 'afterCommit' | 'afterRollback' | 'afterCompletion';

const ORDER: readonly HookName[] = [
  'beforeCommit',
  'beforeCompletion',
  'afterCommit',
  'afterRollback',
  'afterCompletion',
];

/** What most transactions have of each kind. */
const NONE: readonly never[] = Object.freeze([]);

/** The hooks of one transaction, run in the order of their registration, each awaited. */
export class TransactionHooks {
  beforeCommit: readonly Hook[] = NONE;
  beforeCompletion: readonly Hook[] = NONE;
  afterCommit: readonly Hook[] = NONE;
  afterRollback: readonly Hook[] = NONE;
  afterCompletion: readonly Hook<[CompletionStatus]>[] = NONE;
  /** Position in the order of what has begun to run last. */
  #reached = -1;

  /**
   * Registers a hook.
   * @throws IllegalTransactionStateError when those of its kind have run already
   */
  add(name: HookName, fn: Hook<never[]>): void {
    if (ORDER.indexOf(name) < this.#reached) {
      throw new IllegalTransactionStateError(
        `${name}() was called when the ${name} hooks had run already (now: ${ORDER[this.#reached] ?? ''}). Register it earlier in the transaction.`,
      );
    }
    if (this[name] === NONE) this[name] = [];
    (this[name] as Hook<never[]>[]).push(fn);
  }

  /** Runs hooks whose error ends the matter: `beforeCommit`, `afterCommit`. Hooks added meanwhile run too. */
  async runStrictly(name: 'beforeCommit' | 'afterCommit'): Promise<void> {
    this.#reach(name);
    const hooks = this[name];
    for (let index = 0; index < hooks.length; index += 1) await (hooks[index] as Hook)();
  }

  /** Runs hooks whose errors are reported and change nothing. Hooks added meanwhile run too. */
  async runReporting(
    name: 'beforeCompletion' | 'afterRollback' | 'afterCompletion',
    report: Report,
    status?: CompletionStatus,
  ): Promise<void> {
    this.#reach(name);
    for (const hook of this[name] as Hook<[CompletionStatus?]>[]) {
      try {
        await hook(...(status === undefined ? [] : [status]));
      } catch (error) {
        report({
          code: 'UOW_WARN_HOOK_FAILED',
          message: `A ${name} hook threw: ${error instanceof Error ? error.message : String(error)}. The outcome of the transaction is not affected.`,
          error,
        });
      }
    }
  }

  #reach(name: HookName): void {
    this.#reached = Math.max(this.#reached, ORDER.indexOf(name));
  }
}
