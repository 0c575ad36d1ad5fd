import { blankArray } from '../database/blank-array.js';
import type { RelationMapping, Snapshot } from '../database/entity-mapping.js';
import type { Change } from '../flush/change-set.js';
import type { InstanceState, RelationSnapshot } from './instance-state.js';

/**
 * How one object stood in the synchronous step that starts a flush. When the flush has succeeded, this is what
 * the session knows of the row; what was set on the object meanwhile stays a change.
 */
export class RowPicture {
  change: Change | null = null;
  /** The object whose row this one takes over: deleted and added anew under one key in one flush. */
  takesOver: InstanceState | null = null;
  /** Frozen property values by column index, undefined where the value came from elsewhere. The snapshot of a new row is made of it. */
  readonly frozen: unknown[];
  /** Relations by index, where they differ from the last snapshot. */
  relations: (RelationSnapshot | undefined)[] | null = null;
  /** To-one relations whose object a flush sets, because the other side or the foreign key decided. */
  sets: SetRelation[] | null = null;

  constructor(readonly state: InstanceState) {
    this.frozen = blankArray(state.mapping.slots);
  }

  /** Notes what a to-one relation becomes. */
  set(relation: SetRelation): void {
    // A list of one as a rule, and no longer than it has to be; not a literal: see docs/decisions/0002.
    if (this.sets === null) this.sets = Array.of(relation);
    else this.sets.push(relation);
  }

  get before(): Snapshot | null {
    return this.state.snapshot;
  }
}

/** What a to-one relation becomes. */
export class SetRelation {
  /**
   * @param isMirrored true where the loaded other side says the same already
   * @param values the foreign key's parameters
   * @param former what it referred to before; null where that is not in the session
   */
  constructor(
    readonly relation: RelationMapping,
    readonly related: object | null,
    readonly isMirrored: boolean,
    readonly values: readonly unknown[],
    readonly former: object | null = null,
  ) {}
}
