import type { EntityMapping, RelationMapping } from '../database/entity-mapping.js';
import { stateOf } from './instance-state.js';
import type { InstanceState } from './instance-state.js';
import { ownRelation } from './own-relation.js';
import type { UnitOfWork } from './unit-of-work.js';

/**
 * What the collections and inverse sides of a session's objects say about foreign keys of other objects, and
 * about rows of join tables. Read once at the start of a flush.
 */
export interface RelationChanges {
  /** For each child: what inverse sides say about its owning relations. */
  readonly claims: Claims;
  readonly links: readonly LinkChange[];
  /** Collections and inverse sides that were set although they were not loaded: what they replace is not known. */
  readonly unseen: readonly { readonly state: InstanceState; readonly relation: RelationMapping }[];
}

export type Claims = Map<object, readonly Claim[]>;

/** An inverse side has gained an object, or lost it. */
export class Claim {
  /**
   * @param relation the owning relation of the child that is claimed
   * @param parent the new parent; null where the child was taken out
   * @param formerParent the parent that it was taken out of
   * @param via the inverse side that says so
   */
  constructor(
    readonly relation: RelationMapping,
    readonly parent: object | null,
    readonly formerParent: object | null,
    readonly via: RelationMapping,
  ) {}
}

/** A row of a join table that is to come or to go. */
export interface LinkChange {
  readonly relation: RelationMapping;
  readonly source: object;
  readonly target: object;
  readonly kind: 'insert' | 'delete';
}

const inverseRelations = new WeakMap<EntityMapping, readonly RelationMapping[]>();

/** Relations of a mapping whose foreign keys are elsewhere. */
function inversesOf(mapping: EntityMapping): readonly RelationMapping[] {
  let relations = inverseRelations.get(mapping);
  if (relations === undefined) {
    relations = mapping.relations.filter((relation) => !relation.isOwningToOne && relation.persistence);
    inverseRelations.set(mapping, relations);
  }
  return relations;
}

/** Compares every loaded collection and inverse side with what was last seen of it. */
export function collectRelationChanges(unit: UnitOfWork): RelationChanges {
  const claims: Claims = new Map();
  let links: Links | null = null;
  const unseen: { state: InstanceState; relation: RelationMapping }[] = [];

  const visit = (state: InstanceState): void => {
    if (state.isMarkedDeleted) return;
    for (const relation of inversesOf(state.mapping)) {
      const value = relation.get(state.entity);
      if (value === undefined) continue;
      const seen = state.relations?.[relation.index];
      if (seen === undefined && state.state === 'persistent') unseen.push({ state, relation });
      const before = seen === undefined ? [] : seen.isToMany ? seen.items : seen.related === null ? [] : [seen.related];
      const now = Array.isArray(value) ? (value as object[]) : value === null ? [] : [value];
      if (sameItems(before, now)) continue;
      if (before.length === 0) {
        gain(relation, state.entity, now);
        continue;
      }
      const had = new Set(before);
      const has = new Set(now);
      gain(
        relation,
        state.entity,
        [...has].filter((item) => !had.has(item)),
      );
      for (const item of had) if (!has.has(item)) change(relation, state.entity, item, false);
    }
  };

  const change = (relation: RelationMapping, owner: object, item: object, isGain: boolean): void => {
    if (relation.kind === 'many-to-many') {
      const [source, target] = relation.ownsJunction ? [owner, item] : [item, owner];
      const owning = relation.ownsJunction ? relation : (relation.inverse ?? relation);
      (links ??= new Links()).add({ relation: owning, source, target, kind: isGain ? 'insert' : 'delete' });
      return;
    }
    if (relation.inverse === null) return;
    const parent = isGain ? owner : null;
    addClaim(claims, item, new Claim(claimed(relation, item)!, parent, isGain ? null : owner, relation));
  };

  const gain = (relation: RelationMapping, owner: object, items: readonly object[]): void => {
    let shared: readonly [Claim] | null = null;
    for (const item of items) {
      // As a rule all of them are of one class, and one claim says it for all.
      if (shared === null || claims.has(item) || shared[0].relation !== claimed(relation, item)) {
        change(relation, owner, item, true);
        const known = claims.get(item);
        shared = known?.length === 1 ? (known as readonly [Claim]) : null;
      } else {
        claims.set(item, shared);
      }
    }
  };

  unit.identity.forEach(visit);
  unit.pending.forEach(visit);
  return { claims, links: (links as Links | null)?.all ?? NO_LINKS, unseen };
}

const NO_LINKS: readonly LinkChange[] = [];

/** Changes of join rows, one for each: both sides of a relation may say the same. */
class Links {
  readonly #links = new Map<string, LinkChange>();
  readonly #numbers = new Map<object, number>();

  get all(): readonly LinkChange[] {
    return [...this.#links.values()];
  }

  add(link: LinkChange): void {
    const name = `${link.relation.junction!.table} ${this.#numberOf(link.source)} ${this.#numberOf(link.target)}`;
    this.#links.set(name, link);
  }

  #numberOf(object: object): number {
    let known = this.#numbers.get(object);
    if (known === undefined) this.#numbers.set(object, (known = this.#numbers.size));
    return known;
  }
}

/** The owning relation of an item that an inverse side holds. */
function claimed(relation: RelationMapping, item: object): RelationMapping | null {
  const mapping = stateOf(item)?.mapping;
  return mapping === undefined || relation.inverse === null ? relation.inverse : ownRelation(mapping, relation.inverse);
}

export function addClaim(claims: Claims, child: object, claim: Claim): void {
  const known = claims.get(child);
  // Not a literal: see docs/decisions/0002.
  claims.set(child, known === undefined ? Array.of(claim) : [...known, claim]);
}

function sameItems(a: readonly object[], b: readonly object[]): boolean {
  if (a.length !== b.length) return false;
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false;
  return true;
}
