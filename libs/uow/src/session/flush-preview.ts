import type { EntityMappings } from '../database/entity-mapping.js';
import { FlushExecutor } from '../flush/flush-executor.js';
import type { FlushStep } from '../flush/flush-plan.js';
import { planFlush } from '../flush/flush-planner.js';
import { tableOrderOf } from '../flush/table-order.js';
import type { CollectedChanges } from './change-collector.js';

/** A statement that a flush would send. */
export interface PreviewedStatement {
  readonly sql: string;
  /** Its parameters; arrays where it writes many rows, null for keys that the database will give. */
  readonly parameters: readonly unknown[];
  /** What it writes: one step, or several where a statement inserts into several tables. */
  readonly steps: readonly PreviewedStep[];
  /** Why it is sent. */
  readonly reason: string;
}

/** What a statement does to one table. */
export interface PreviewedStep {
  readonly kind: FlushStep['kind'];
  /** Name of the entity, or of the join table. */
  readonly entity: string;
  /** Quoted path of the table. */
  readonly table: string;
  /** How many rows it names. */
  readonly rows: number;
  readonly reason: string;
}

/** What a flush would send now, in order. */
export function previewOf(
  collected: CollectedChanges,
  mappings: EntityMappings,
  options: { readonly batching: boolean },
): PreviewedStatement[] {
  const plan = planFlush(collected.changes, tableOrderOf(mappings));
  const executor = new FlushExecutor(plan, { batching: options.batching, missed: () => undefined });
  return executor.preview().map(({ steps, statement }) => ({
    sql: statement.text,
    parameters: statement.values ?? [],
    steps: steps.map((step) => ({
      kind: step.kind,
      entity: step.mapping.name,
      table: step.mapping.table,
      rows: 'changes' in step ? step.changes.length : step.keys.length,
      reason: step.reason,
    })),
    reason: steps.map((step) => `${step.mapping.name}: ${step.reason}`).join('; '),
  }));
}
