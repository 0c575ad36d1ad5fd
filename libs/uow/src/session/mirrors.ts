import type { RelationMapping } from '../database/entity-mapping.js';
import { ToOneSnapshot } from './instance-state.js';
import type { InstanceState, RelationSnapshot, ToManySnapshot } from './instance-state.js';
import { ownRelation } from './own-relation.js';
import type { UnitOfWork } from './unit-of-work.js';

interface Step {
  readonly kind: 'join' | 'leave';
  readonly parent: object;
  readonly side: RelationMapping;
  readonly child: object;
}

/** A loaded collection: whose it is, how it was last seen, and the array that the owner has. */
interface Collection {
  readonly state: InstanceState;
  readonly relation: RelationMapping;
  readonly seen: ToManySnapshot;
  readonly array: object[];
}

/**
 * What a flush has to do to the other sides of relations, so that both sides say the same. It is gathered while
 * the flush's own objects are brought up to date, and done afterwards: what is put there earlier would be taken for
 * a change.
 */
export class Mirrors {
  readonly #unit: UnitOfWork;
  readonly #steps: Step[] = [];
  #lastToOne: ToOneSnapshot | null = null;

  constructor(unit: UnitOfWork) {
    this.#unit = unit;
  }

  /** The child comes into the loaded collection of the parent (or becomes its one object), or leaves it. */
  add(kind: 'join' | 'leave', parent: object, side: RelationMapping, child: object): void {
    this.#steps.push({ kind, parent, side, child });
  }

  /** What a to-one relation is last seen as; rows that follow each other as a rule share it. */
  toOne(related: object | null): RelationSnapshot {
    if (this.#lastToOne?.related !== related) this.#lastToOne = new ToOneSnapshot(related);
    return this.#lastToOne;
  }

  apply(): void {
    const steps = this.#steps;
    for (let from = 0; from < steps.length;) {
      const { kind, parent, side } = steps[from]!;
      const children: object[] = [];
      // Those of one collection follow each other as a rule; together they cost one walk through it.
      let at = from;
      for (; at < steps.length; at++) {
        const step = steps[at]!;
        if (step.parent !== parent || step.side !== side || step.kind !== kind) break;
        children.push(step.child);
      }
      from = at;
      this.#mirror(kind, parent, side, children);
    }
  }

  #mirror(kind: Step['kind'], parent: object, side: RelationMapping, children: readonly object[]): void {
    const state = this.#unit.own(parent);
    if (state === undefined || state.relations === null) return;
    const relation = ownRelation(state.mapping, side);
    const seen = state.relations[relation.index];
    if (seen === undefined) return;
    if (seen.isToMany) {
      const array = relation.get(parent);
      if (!Array.isArray(array)) return;
      const collection = { state, relation, seen, array: array as object[] };
      if (kind === 'join') this.#join(collection, children);
      else this.#leave(collection, children);
    } else {
      for (const child of children) this.#set(kind, state, relation, child);
    }
  }

  #set(kind: Step['kind'], state: InstanceState, relation: RelationMapping, child: object): void {
    const seen = state.relations![relation.index] as ToOneSnapshot;
    if (kind === 'join') {
      if (seen.related === child) return;
      this.#unit.memory.touch(state);
      relation.set(state.entity, child);
      state.relations![relation.index] = new ToOneSnapshot(child);
      return;
    }
    if (relation.get(state.entity) === child) relation.set(state.entity, null);
    if (seen.related !== child) return;
    this.#unit.memory.touch(state);
    state.relations![relation.index] = new ToOneSnapshot(null);
  }

  #join({ state, relation, seen, array }: Collection, children: readonly object[]): void {
    const known = new Set(seen.items);
    const fresh = [...new Set(children)].filter((child) => !known.has(child));
    if (fresh.length === 0) return;
    this.#unit.memory.touch(state);
    const there = new Set(array);
    for (const child of fresh) if (!there.has(child)) array.push(child);
    state.relations![relation.index] = seen.withItems([...seen.items, ...fresh]);
  }

  #leave({ state, relation, seen, array }: Collection, children: readonly object[]): void {
    const known = new Set(seen.items);
    const gone = new Set(children.filter((child) => known.has(child)));
    if (gone.size === 0) return;
    this.#unit.memory.touch(state);
    const left = array.filter((child) => !gone.has(child));
    array.length = 0;
    for (const child of left) array.push(child);
    state.relations![relation.index] = seen.withItems(seen.items.filter((child) => !gone.has(child)));
  }
}
