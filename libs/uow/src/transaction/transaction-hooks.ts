import type { Report } from '../diagnostics/report.js';

/** How a transaction ended, as `afterCompletion` hooks hear it (Spring's completion status). */
export type CompletionStatus = 'committed' | 'rolledBack' | 'unknown';

type Hook<Args extends unknown[] = []> = (...args: Args) => unknown;

/** The hooks of one transaction, run in the order of their registration, each awaited. */
export class TransactionHooks {
  readonly beforeCommit: Hook[] = [];
  readonly beforeCompletion: Hook[] = [];
  readonly afterCommit: Hook[] = [];
  readonly afterRollback: Hook[] = [];
  readonly afterCompletion: Hook<[CompletionStatus]>[] = [];

  /** Runs hooks whose error ends the matter: `beforeCommit`, `afterCommit`. Hooks added meanwhile run too. */
  static async runStrictly(hooks: readonly Hook[]): Promise<void> {
    for (let index = 0; index < hooks.length; index += 1) await (hooks[index] as Hook)();
  }

  /** Runs hooks whose errors are reported and change nothing. */
  static async runReporting<Args extends unknown[]>(
    hooks: readonly Hook<Args>[],
    name: string,
    report: Report,
    ...args: Args
  ): Promise<void> {
    for (const hook of hooks) {
      try {
        await hook(...args);
      } catch (error) {
        report({
          code: 'UOW_WARN_HOOK_FAILED',
          message: `A ${name} hook threw: ${error instanceof Error ? error.message : String(error)}. The outcome of the transaction is not affected.`,
          error,
        });
      }
    }
  }
}
