import type { EntityMapping, EntityMappings, RowReader } from '../database/entity-mapping.js';
import { DeleteChange, InsertChange, UpdateChange, noteAnswer } from '../flush/change-set.js';
import { RowSource } from '../flush/sql/row-source.js';
import { ChangeCollector } from './change-collector.js';
import { InstanceState, stateOf } from './instance-state.js';
import { Mirrors } from './mirrors.js';
import { RowIntake } from './row-intake.js';
import type { ShapeKeeper } from './row-intake.js';
import { RowPicture } from './row-picture.js';
import { SessionListeners } from './session-events.js';
import { UnitOfWork } from './unit-of-work.js';

/**
 * One object of each entity class, with all that a session keeps of it, and of each kind that a flush makes, for as long as the data source is there. V8
 * gives up compiled code when the last object of a shape that it was compiled for is collected; between two requests
 * there may be none, and what comes after each full collection would begin at the speed of an interpreter.
 */
export class KeptShapes implements ShapeKeeper {
  readonly #unit: UnitOfWork;
  readonly #intake: RowIntake;
  readonly #kept = new Set<EntityMapping>();
  #flush: readonly object[] | null = null;

  constructor(mappings: EntityMappings) {
    this.#unit = new UnitOfWork({ id: '0', label: 'kept shapes' }, mappings, new SessionListeners());
    this.#intake = new RowIntake({ transaction: null, trustsAfterCommit: false }, this.#unit, null);
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

  /** Keeps one of each object that a flush makes for each row. */
  keepFlush(mapping: EntityMapping): void {
    if (this.#flush !== null) return;
    const state = new InstanceState({}, mapping);
    const guard = { columns: [], values: [], isLocked: true, mustExist: true };
    const insert = new InsertChange(mapping, new RowPicture(state), []);
    noteAnswer(insert, mapping.columns[0]!, null);
    this.#flush = [
      new ChangeCollector(this.#unit, null),
      new Mirrors(this.#unit),
      insert,
      insert.keyOf(mapping.columns[0]!),
      new UpdateChange(mapping, null, [], [], [], guard),
      new DeleteChange(mapping, null, [], guard),
      new RowSource([], []),
    ];
  }
}
