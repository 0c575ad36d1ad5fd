import type { EntityMapping, EntityMappings, RowReader } from '../database/entity-mapping.js';
import { DeleteChange, InsertChange, RowGuard, UpdateChange, noteAnswer } from '../flush/change-set.js';
import { RowSource } from '../flush/sql/row-source.js';
import { ChangeCollector } from './change-collector.js';
import { InstanceState, Reached, ToManySnapshot, ToOneSnapshot, stateFor, stateOf } from './instance-state.js';
import { Mirrors } from './mirrors.js';
import { Claim } from './relation-changes.js';
import { RowIntake } from './row-intake.js';
import type { ShapeKeeper } from './row-intake.js';
import { RowPicture, SetRelation } from './row-picture.js';
import { SessionListeners } from './session-events.js';
import { UnitOfWork } from './unit-of-work.js';

/**
 * One object of each entity class, as a read makes it and as the application made it before a flush inserted it, with
 * all that a session keeps of it; and one of each kind that a flush makes. They stay for as long as the data source
 * does. V8 gives up compiled code when the last object of a shape that it was compiled for is collected; between two
 * requests there may be none, and what comes after each full collection would begin at the speed of an interpreter.
 */
export class KeptShapes implements ShapeKeeper {
  readonly #unit: UnitOfWork;
  readonly #intake: RowIntake;
  readonly #kept = new Set<EntityMapping>();
  readonly #inserted = new Map<EntityMapping, object | null>();
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
    stateOf(entity!)!.relations = [new ToOneSnapshot(null), new ToManySnapshot([], [])];
  }

  /** Keeps one of each object that a flush makes for each row. */
  keepFlush(mapping: EntityMapping): void {
    if (this.#flush !== null) return;
    const state = new InstanceState({}, mapping);
    // There may be none, and none is needed.
    const relation = mapping.relations[0]!;
    const guard = new RowGuard([], [], true, true);
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
      new Reached(state, relation),
      new Claim(relation, null, null, relation),
      new SetRelation(relation, null, false, []),
    ];
  }

  lacksInserted(mapping: EntityMapping): boolean {
    return !this.#inserted.has(mapping);
  }

  /**
   * Keeps an object like one that a flush has just inserted: what the application's own code made may have another
   * shape than what a read makes. It is made by the class's constructor alone, as a read does; where that cannot be
   * done, nothing is kept.
   */
  keepInserted(state: InstanceState): void {
    const { mapping } = state;
    this.#inserted.set(mapping, null);
    if (!mapping.callsConstructor || typeof mapping.target !== 'function') return;
    try {
      this.#inserted.set(mapping, this.#madeLike(state, Reflect.construct(mapping.target, []) as object));
    } catch {
      // A class that does not let itself be made or filled so.
    }
  }

  #madeLike({ entity, mapping, written }: InstanceState, like: object): object {
    // What the flush set came after the private field by which the library knows an object.
    const later = new Set<string>();
    for (let one = written; one !== null && one !== 'nothing'; one = one.earlier) {
      if (one.before === undefined) later.add(one.property.path);
    }
    const properties = Object.keys(entity);
    const copy = (property: string): void => {
      if (valueOf(like, property) === undefined) define(like, property, this.#alike(valueOf(entity, property)));
    };
    for (const property of properties) if (!later.has(property)) copy(property);
    stateFor(like, mapping);
    for (const property of properties) copy(property);
    return like;
  }

  /** A value that is stored as the given one is, and holds nothing of it. */
  #alike(value: unknown): unknown {
    switch (typeof value) {
      case 'number':
        return Number.isInteger(value) ? 0 : 0.5;
      case 'string':
        return '';
      case 'boolean':
        return value;
      case 'object':
        return value === null ? null : this.#objectAlike(value);
      default:
        return undefined;
    }
  }

  #objectAlike(value: object): object | null {
    if (!Array.isArray(value)) return this.#inserted.get(stateOf(value)?.mapping as EntityMapping) ?? null;
    const array: unknown[] = [null];
    array.length = 0;
    return array;
  }
}

function valueOf(object: object, property: string): unknown {
  return Object.getOwnPropertyDescriptor(object, property)?.value;
}

function define(object: object, property: string, value: unknown): void {
  Object.defineProperty(object, property, { value, writable: true, enumerable: true, configurable: true });
}
