import type { Database } from '../database/database.js';
import { TransactionClosedError } from '../errors/transaction-errors.js';
import type { Frame } from './ambient.js';
import type { UnitOwner } from './ambient-unit.js';
import type { PhysicalTransaction, Savepoint } from './physical-transaction.js';
import type { Place } from './place.js';
import type { TransactionContext } from './transaction-context.js';
import type { TransactionDefinition } from './transaction-definition.js';
import type { TurnLevel } from './turns.js';
import type { UnclaimedResult } from './unclaimed.js';

/**
 * One declared scope: a call of a `@Transactional()` method or of `TransactionManager.run`. It owns a
 * transaction or a savepoint, or joined one, or has none. It counts what it has in flight, and takes nothing
 * new once its function has settled.
 */

export type ScopeKind = 'root' | 'savepoint' | 'joined' | 'none';

/** Who decided that an owner must roll back, and why. */
export interface RollbackMark {
  readonly by: TransactionScope;
  readonly reason: unknown;
}

export class TransactionScope implements Frame {
  /** The nearest scope that owns the transaction or a savepoint: this one, for owners. */
  readonly ownerScope: TransactionScope | null;
  /** True where nothing may be written: declared here, or around. */
  readonly readOnly: boolean;
  savepoint: Savepoint | null = null;
  mark: RollbackMark | null = null;
  /** Set when it was rolled back by hand inside. */
  rolledBackInside = false;
  unclaimed: Set<UnclaimedResult> | null = null;
  /** The handler whose call it was opened for, until that is called. */
  openedFor: object | null = null;
  /** A list: there are few as a rule, and what began last ends first. */
  readonly #inFlight: Place[] = [];
  #state: 'open' | 'closing' | 'closed' = 'open';
  #settled: (() => void) | null = null;

  constructor(
    readonly kind: ScopeKind,
    readonly owner: UnitOwner,
    readonly parent: Frame | null,
    readonly context: TransactionContext,
    readonly transaction: PhysicalTransaction | null,
    readonly level: TurnLevel | null,
    readonly definition: TransactionDefinition,
    outer: TransactionScope | null,
    /** 1 for the first run, 2 for the first retry, … */
    readonly attempt: number,
  ) {
    this.ownerScope =
      kind === 'root' || kind === 'savepoint' ? this : kind === 'joined' ? (outer?.ownerScope ?? null) : null;
    this.readOnly = definition.readOnly === true || (kind !== 'root' && kind !== 'none' && outer?.readOnly === true);
  }

  /** A scope is its own frame's scope. */
  get scope(): this {
    return this;
  }

  contextOf(database: Database): TransactionContext | null {
    return this.context.database === database ? this.context : null;
  }

  get label(): string {
    return this.definition.label;
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  /** True once its function has settled. */
  get ended(): boolean {
    return this.#state !== 'open';
  }

  /**
   * Counts an operation as in flight.
   * @throws TransactionClosedError once the scope's function has settled
   */
  enter(place: Place): void {
    this.assertOpen(place);
    this.#inFlight.push(place);
  }

  leave(place: Place): void {
    const inFlight = this.#inFlight;
    const at = inFlight.lastIndexOf(place);
    if (at === -1) return;
    if (at === inFlight.length - 1) inFlight.pop();
    else inFlight.splice(at, 1);
    if (inFlight.length === 0) this.#settled?.();
  }

  /** @throws TransactionClosedError once the scope's function has settled */
  assertOpen(place: Place | string): void {
    if (this.#state === 'open') {
      const rolledBack = this.ownerScope?.rolledBackInside === true ? this.ownerScope : null;
      if (rolledBack === null) return;
      throw new TransactionClosedError(
        `${place.toString()} came after ${rolledBack.label} was rolled back by hand. Nothing more can be done in it; return, and begin anew.`,
      );
    }
    throw new TransactionClosedError(
      `${place.toString()} came after the end of ${this.label}. Await all work inside ${this.label}, or run it apart with TransactionManager.detach().`,
    );
  }

  /**
   * Takes nothing new any more, and waits for what is in flight.
   * @returns the places that had started what was still in flight
   */
  async settle(): Promise<readonly Place[]> {
    this.#state = 'closing';
    if (!this.busy) return [];
    const stray = [...new Set(this.#inFlight)];
    await new Promise<void>((resolve) => {
      this.#settled = resolve;
    });
    return stray;
  }

  /** Nothing of it can go on. */
  close(): void {
    this.#state = 'closed';
  }

  /** True where something is in flight; lets a scope that has nothing settle without a promise. */
  get busy(): boolean {
    return this.#inFlight.length > 0;
  }

  /** Stops taking new work, where nothing is in flight. */
  stop(): void {
    this.#state = 'closing';
  }
}
