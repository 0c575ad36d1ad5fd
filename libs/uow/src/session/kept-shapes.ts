import type { EntityMapping, EntityMappings, RowReader } from '../database/entity-mapping.js';
import { stateOf } from './instance-state.js';
import { RowIntake } from './row-intake.js';
import type { ShapeKeeper } from './row-intake.js';
import { SessionListeners } from './session-events.js';
import { UnitOfWork } from './unit-of-work.js';

/**
 * One object of each entity class, with all that a session keeps of it, for as long as the data source is there. V8
 * gives up compiled code when the last object of a shape that it was compiled for is collected; between two requests
 * there may be none, and the reads after each full collection would begin at the speed of an interpreter.
 */
export class KeptShapes implements ShapeKeeper {
  readonly #intake: RowIntake;
  readonly #kept = new Set<EntityMapping>();

  constructor(mappings: EntityMappings) {
    const unit = new UnitOfWork({ id: '0', label: 'kept shapes' }, mappings, new SessionListeners());
    this.#intake = new RowIntake({ transaction: null, trustsAfterCommit: false }, unit, null);
  }

  lacks(mapping: EntityMapping): boolean {
    return !this.#kept.has(mapping);
  }

  keep(mapping: EntityMapping, asked: EntityMapping, reader: RowReader, row: readonly unknown[]): void {
    this.#kept.add(mapping);
    const entity = this.#intake.absorb(asked, reader, [...row], null);
    stateOf(entity!)!.relations = [
      { isToMany: false, related: null, seenIn: null },
      { isToMany: true, array: [], items: [], seenIn: null },
    ];
  }
}
