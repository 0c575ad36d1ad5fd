import type { ArrayResult, Statement, StatementResult } from '../database/statement.js';
import { isKnown } from './change-set.js';
import type { DeleteStep, FlushPlan, FlushStep } from './flush-plan.js';
import type { BoundStatement } from './sql/bound-statement.js';
import { chainFrom, chainedInserts } from './sql/chained-inserts.js';
import { deleteStatement, lockStatement } from './sql/delete.js';
import { detachStatement } from './sql/detach.js';
import { insertStatements } from './sql/insert.js';
import { staleRowsOf } from './sql/stale-marker.js';
import { updateStatement } from './sql/update.js';
import { StaleRow } from './stale-row.js';

/** A statement that can say what an error of the server means. */
export interface ExplainedStatement extends Statement {
  explain(driverError: Error): Error | null;
}

class FlushStatement implements ExplainedStatement {
  readonly text: string;
  readonly values: Statement['values'];
  readonly rowMode: Statement['rowMode'];
  readonly prepare: Statement['prepare'];
  readonly #executor: FlushExecutor;

  constructor({ text, values, rowMode, prepare }: Statement, executor: FlushExecutor) {
    this.text = text;
    this.values = values;
    this.rowMode = rowMode;
    this.prepare = prepare;
    this.#executor = executor;
  }

  explain(driverError: Error): Error | null {
    return this.#executor.explain(driverError);
  }
}

export interface ExecutorOptions {
  /** False sends each statement by itself. */
  readonly batching: boolean;
  /** Told of rows that were to be deleted and were gone already. */
  readonly missed: (step: DeleteStep, count: number) => void;
}

/**
 * Carries one plan out: gives the statements that can be sent now, takes their answers, until none is left.
 * A batch ends where the next statement needs a key that only an answer will bring. It sends nothing itself,
 * so that the last batch can travel with COMMIT.
 */
export class FlushExecutor {
  readonly #steps: readonly FlushStep[];
  readonly #options: ExecutorOptions;
  #at = 0;
  #sent: BoundStatement[] = [];
  #stale: StaleRow | null = null;
  #refused: Error | null = null;

  constructor(plan: FlushPlan, options: ExecutorOptions) {
    this.#steps = plan.steps;
    this.#options = options;
  }

  /** True when nothing is left to send. */
  get isDone(): boolean {
    return this.#at >= this.#steps.length;
  }

  /** The statements that go in the next round trip; settle them before asking again. */
  next(): ExplainedStatement[] {
    const batch: BoundStatement[] = [];
    while (!this.isDone) {
      const step = this.#steps[this.#at]!;
      if (batch.length > 0 && (!this.#options.batching || !isReady(step))) break;
      const chain = this.#options.batching ? chainFrom(this.#steps, this.#at) : null;
      if (chain !== null) {
        batch.push(chainedInserts(chain));
        this.#at += chain.length;
        continue;
      }
      batch.push(...this.#bind(step));
      this.#at++;
    }
    this.#sent = batch;
    return batch.map(({ statement }) => new FlushStatement(statement, this));
  }

  /** The statements with the steps that each of them carries out, as if every answer had come. Sends nothing. */
  preview(): { readonly steps: readonly FlushStep[]; readonly statement: Statement }[] {
    const statements: { steps: readonly FlushStep[]; statement: Statement }[] = [];
    while (!this.isDone) {
      const chain = this.#options.batching ? chainFrom(this.#steps, this.#at) : null;
      if (chain !== null) {
        const steps = this.#steps.slice(this.#at, (this.#at += chain.length));
        statements.push({ steps, statement: chainedInserts(chain).statement });
        continue;
      }
      const step = this.#steps[this.#at++]!;
      for (const { statement } of this.#bind(step)) statements.push({ steps: [step], statement });
    }
    return statements;
  }

  /** Takes the answers to the last batch. */
  settle(results: readonly StatementResult[]): void {
    this.#sent.forEach((bound, at) => {
      bound.settle(results[at] as ArrayResult);
    });
  }

  /** What a failure of the last batch means, where it is one of the checks that the statements carry; else null. */
  explain(error: unknown): Error | null {
    if (this.#stale !== null && this.#stale.error.cause === error) return this.#stale.error;
    const stale = staleRowsOf(error);
    if (stale === null) return null;
    const bound = this.#sent.find(({ id }) => id === stale.statementId);
    if (bound?.refused !== undefined) {
      this.#refused ??= bound.refused(stale.ordinals, error);
      return this.#refused;
    }
    const change = bound?.changes[(stale.ordinals[0] ?? 1) - 1];
    if (change?.kind !== 'update' && change?.kind !== 'delete') return null;
    this.#stale = new StaleRow(change, stale.ordinals.length, error);
    return this.#stale.error;
  }

  /** The row because of which the flush failed; null where it failed otherwise. */
  get stale(): StaleRow | null {
    return this.#stale;
  }

  #bind(step: FlushStep): BoundStatement[] {
    switch (step.kind) {
      case 'insert':
        return insertStatements(step);
      case 'update':
        return [updateStatement(step)];
      case 'delete':
        return [deleteStatement(step, this.#options.missed)];
      case 'detach':
        return [detachStatement(step)];
      case 'lock':
        return [lockStatement(step)];
    }
  }
}

/** False while the step needs a key that the database has not given yet. */
function isReady(step: FlushStep): boolean {
  if (step.kind === 'detach') return step.except.every((key) => key.every(isKnown));
  if (step.kind === 'lock') return step.keys.every((key) => key.every(isKnown));
  return step.changes.every((change) => {
    if (change.kind === 'delete') return change.key.every(isKnown);
    return change.values.every(isKnown) && (change.kind === 'insert' || change.key.every(isKnown));
  });
}
