import type { Statement } from '../database/statement.js';
import type { PhysicalTransaction } from './physical-transaction.js';
import type { Place } from './place.js';

/**
 * The savepoints of one transaction, innermost last, and what of them the server has yet to be told. SAVEPOINT
 * and RELEASE travel in front of the next statement, so a nested scope without SQL costs nothing. No I/O here.
 */

/** A savepoint, declared (NESTED) or by hand. */
export class Savepoint {
  /** `pending` until the server has it; then `open`, until it ends one way or the other. */
  state: 'pending' | 'open' | 'released' | 'rolledBack' = 'pending';
  /** The first failure since it opened; until ROLLBACK TO, everything is refused. */
  failure: unknown = null;

  constructor(
    readonly transaction: PhysicalTransaction,
    /** Its name in SQL. */
    readonly name: string,
    readonly place: Place,
    /** True where code opened it by hand, false for the savepoint of a NESTED scope. */
    readonly byHand: boolean,
  ) {}

  /** True until it is released or rolled back. */
  get isActive(): boolean {
    return (this.state === 'pending' || this.state === 'open') && this.transaction.isActive;
  }
}

interface Control {
  readonly kind: 'savepoint' | 'release';
  readonly savepoint: Savepoint;
}

export class SavepointStack {
  #stack: Savepoint[] = [];
  #controls: Control[] = [];

  /** The innermost savepoint that has not ended. */
  get top(): Savepoint | null {
    return this.#stack.at(-1) ?? null;
  }

  /** How many are open. */
  get depth(): number {
    return this.#stack.length;
  }

  has(savepoint: Savepoint): boolean {
    return this.#stack.includes(savepoint);
  }

  /** The first failure of an open savepoint, outermost first. */
  get failure(): unknown {
    return this.#stack.find((one) => one.failure !== null)?.failure ?? null;
  }

  push(transaction: PhysicalTransaction, place: Place, byHand: boolean): Savepoint {
    const savepoint = new Savepoint(transaction, `uow_${this.#stack.length + 1}`, place, byHand);
    this.#stack.push(savepoint);
    this.#controls.push({ kind: 'savepoint', savepoint });
    return savepoint;
  }

  /**
   * Ends the savepoint and those inside it well.
   * @returns them, innermost first
   */
  release(savepoint: Savepoint): readonly Savepoint[] {
    const popped = this.#popTo(savepoint);
    for (const one of popped) {
      const unsent = this.#controls.findIndex((control) => control.kind === 'savepoint' && control.savepoint === one);
      // What the server never heard of needs no RELEASE.
      if (unsent === -1) this.#controls.push({ kind: 'release', savepoint: one });
      else this.#controls.splice(unsent, 1);
      one.state = 'released';
    }
    return popped;
  }

  /**
   * Ends the savepoint and those inside it by rolling back.
   * @returns them, innermost first, and the SQL that is needed for it: none where the server never heard of it
   */
  rollBack(savepoint: Savepoint): { readonly popped: readonly Savepoint[]; readonly statements: readonly Statement[] } {
    const known = savepoint.state === 'open';
    const popped = this.#popTo(savepoint);
    for (const one of popped) one.state = 'rolledBack';
    if (known) {
      // Everything not yet said concerns savepoints inside this one: whatever came before it was sent before it.
      this.#controls = [];
      return {
        popped,
        statements: [
          { text: `ROLLBACK TO SAVEPOINT ${savepoint.name}` },
          { text: `RELEASE SAVEPOINT ${savepoint.name}` },
        ],
      };
    }
    this.#controls = this.#controls.filter((control) => !popped.includes(control.savepoint));
    return { popped, statements: [] };
  }

  /** What has to go in front of the next statement. */
  unsent(): readonly Statement[] {
    if (this.#controls.length === 0) return [];
    return this.#controls.map(({ kind, savepoint }) => ({
      text: kind === 'savepoint' ? `SAVEPOINT ${savepoint.name}` : `RELEASE SAVEPOINT ${savepoint.name}`,
    }));
  }

  /** What has to go in front of ROLLBACK: nothing that the server would refuse or that would open something. */
  unsentReleases(): readonly Statement[] {
    return this.#controls.flatMap(({ kind, savepoint }) =>
      kind === 'release' ? [{ text: `RELEASE SAVEPOINT ${savepoint.name}` }] : [],
    );
  }

  /** Notes that the server has executed the first `count` of what was unsent. */
  answered(count: number): void {
    if (count === 0) return;
    for (const { kind, savepoint } of this.#controls.splice(0, count)) {
      if (kind === 'savepoint' && savepoint.state === 'pending') savepoint.state = 'open';
    }
  }

  /**
   * A statement failed on the server: all since the innermost savepoint that the server knows is lost.
   * @returns false where it knows none, and the transaction itself has failed
   */
  noteServerFailure(error: unknown): boolean {
    const known = this.#stack.findLast((one) => one.state === 'open');
    if (known === undefined) return false;
    known.failure ??= error;
    return true;
  }

  /**
   * Work inside the innermost savepoint must not be kept.
   * @returns false where none is open
   */
  noteFailure(error: unknown): boolean {
    const { top } = this;
    if (top === null) return false;
    top.failure ??= error;
    return true;
  }

  /** Lets a failure be known as what its caller saw of it. */
  substitute(failure: unknown, seen: unknown): void {
    for (const one of this.#stack) if (one.failure === failure) one.failure = seen;
  }

  /** The transaction has ended, and they with it. */
  clear(): void {
    for (const one of this.#stack) one.state = 'rolledBack';
    this.#stack = [];
    this.#controls = [];
  }

  #popTo(savepoint: Savepoint): Savepoint[] {
    return this.#stack.splice(this.#stack.indexOf(savepoint)).reverse();
  }
}
