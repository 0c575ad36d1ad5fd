import type { ColumnMapping, EntityMapping } from '../database/entity-mapping.js';
import type { DeleteChange, InsertChange, UpdateChange } from './change-set.js';

/**
 * What a flush will send, in order. Each step is one statement for all of its rows: they have one table and
 * one shape (the same columns, the same checks).
 */
export type FlushStep = InsertStep | UpdateStep | DeleteStep | DetachStep | LockStep;

export interface InsertStep {
  readonly kind: 'insert';
  readonly mapping: EntityMapping;
  readonly changes: readonly InsertChange[];
  readonly reason: string;
}

export class UpdateStep {
  readonly kind = 'update';

  constructor(
    readonly mapping: EntityMapping,
    readonly changes: readonly UpdateChange[],
    /** True when the statement has to lock its rows in key order itself. */
    readonly locks: boolean,
  ) {}

  get reason(): string {
    return `changed ${this.changes[0]!.columns.map((column) => column.path).join(', ')}`;
  }
}

export interface DeleteStep {
  readonly kind: 'delete';
  readonly mapping: EntityMapping;
  readonly changes: readonly DeleteChange[];
  readonly locks: boolean;
  readonly reason: string;
}

/** Cuts rows that are not loaded off from rows that are about to be deleted. */
export interface DetachStep {
  readonly kind: 'detach';
  readonly mapping: EntityMapping;
  readonly action: 'nullify' | 'delete';
  readonly columns: readonly ColumnMapping[];
  readonly keys: readonly (readonly unknown[])[];
  /** Keys of rows that are left alone, because the flush deletes them anyway. */
  readonly except: readonly (readonly unknown[])[];
  readonly reason: string;
}

/** Locks the rows of one table that several steps will write, in key order. */
export interface LockStep {
  readonly kind: 'lock';
  readonly mapping: EntityMapping;
  readonly keys: readonly (readonly unknown[])[];
  readonly reason: string;
}

export interface FlushPlan {
  readonly steps: readonly FlushStep[];
}
