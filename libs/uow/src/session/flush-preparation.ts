import type { RelationMapping } from '../database/entity-mapping.js';
import { DetachChange } from '../flush/change-set.js';
import type { PhysicalTransaction } from '../transaction/physical-transaction.js';
import { departureRule, knownReferrers, mayBeNull, referredValues } from './departures.js';
import { stateOf } from './instance-state.js';
import type { InstanceState } from './instance-state.js';
import { ownRelation } from './own-relation.js';
import type { Reader } from './reader.js';
import { Claim, addClaim, collectRelationChanges } from './relation-changes.js';
import type { RelationChanges } from './relation-changes.js';
import { refersTo } from './relation-snapshots.js';
import type { UnitOfWork } from './unit-of-work.js';

/** What a flush needs to know beyond the objects' own changes. */
export interface PreparedFlush {
  readonly isReady: true;
  readonly relations: RelationChanges;
  /** Rows to be cut off from deleted ones although they are not loaded. */
  readonly detachments: readonly DetachChange[];
}

/** Relations that have to be read before it can be said what the flush does. */
export interface NeededRelations {
  readonly isReady: false;
  load(operation: string): Promise<void>;
}

/**
 * The step before a flush takes its picture: carries deletions over to what they take along, finds orphans, and
 * learns what assigned collections replace. It only marks objects; what it has to know from the database is read
 * first, and then it looks again.
 */
export class FlushPreparation {
  readonly #unit: UnitOfWork;
  readonly #reader: Reader;

  constructor(unit: UnitOfWork, reader: Reader) {
    this.#unit = unit;
    this.#reader = reader;
  }

  /** Without I/O, so that nothing can change between its last call and the picture. */
  settle(transaction: PhysicalTransaction | null): PreparedFlush | NeededRelations {
    const needed = new Needed(this.#reader);
    this.#unit.cascade();
    for (;;) {
      this.#takeAlong(needed, transaction);
      const relations = collectRelationChanges(this.#unit);
      for (const { state, relation } of relations.unseen) needed.baselines.add(relation, state);
      if (!needed.isEmpty) return needed;
      if (this.#markOrphans(relations)) continue;
      return { isReady: true, relations, detachments: this.#detach(relations, transaction) };
    }
  }

  /** Marks what goes with the objects that are to be deleted. The set grows while it is walked. */
  #takeAlong(needed: Needed, transaction: PhysicalTransaction | null): void {
    for (const owner of this.#unit.toDelete) {
      for (const relation of owner.mapping.relations) {
        if (departureRule(relation) !== 'remove') continue;
        if (!this.#isLoaded(owner, relation, transaction)) {
          needed.contents.add(relation, owner);
          continue;
        }
        for (const child of objectsOf(relation, owner)) {
          const state = this.#unit.own(child);
          if (
            state === undefined ||
            (relation.inverse !== null && isElsewhere(state, relation.inverse, owner.entity))
          ) {
            continue;
          }
          this.#remove(state);
        }
      }
    }
  }

  #remove(state: InstanceState): boolean {
    if (state.state === 'pending') {
      this.#unit.memory.touch(state);
      this.#unit.expunge(state);
      return true;
    }
    if (state.state !== 'persistent' || state.isMarkedDeleted) return false;
    this.#unit.markForDeletion(state);
    return true;
  }

  /** Deletes what was taken out of a collection and may not be without a parent. True when there was any. */
  #markOrphans(relations: RelationChanges): boolean {
    let found = false;
    relations.claims.forEach((claims, child) => {
      for (const claim of claims) {
        if (claim.parent !== null || !claim.via.isToMany || isClaimed(claims, claim.relation)) continue;
        const state = this.#unit.own(child);
        if (state === undefined || isElsewhere(state, claim.relation, claim.formerParent!)) continue;
        if (this.#unit.own(claim.formerParent!)?.isMarkedDeleted === true) continue;
        found = this.#orphan(state, claim.relation) || found;
      }
    });
    this.#unit.pending.forEach((state) => {
      const { reachedBy } = state;
      if (reachedBy?.relation.inverse?.orphanAction !== 'delete') return;
      const { relation, owner } = reachedBy;
      if (objectsOf(relation, owner).includes(state.entity)) return;
      if (isClaimed(relations.claims.get(state.entity) ?? [], ownRelation(state.mapping, relation.inverse!))) return;
      if (isElsewhere(state, relation.inverse!, owner.entity)) return;
      found = this.#remove(state) || found;
    });
    return found;
  }

  #orphan(state: InstanceState, relation: RelationMapping): boolean {
    switch (relation.orphanAction) {
      case 'delete':
        return this.#remove(state);
      case 'nullify':
        return mayBeNull(relation) ? false : this.#remove(state);
      case 'soft-delete': {
        const { deleteDate } = state.mapping;
        if (deleteDate !== null && deleteDate.get(state.entity) == null) {
          this.#unit.setProperty(state, deleteDate, new Date());
        }
        return false;
      }
      case 'disable':
        return false;
    }
  }

  /** Foreign keys and join rows that refer to what is deleted. */
  #detach(relations: RelationChanges, transaction: PhysicalTransaction | null): DetachChange[] {
    if (this.#unit.toDelete.size === 0) return [];
    const departing = new Relations();
    for (const owner of this.#unit.toDelete) {
      for (const relation of owner.mapping.relations) {
        const rule = departureRule(relation);
        if (rule === 'nullify' || rule === 'unlink') departing.add(relation, owner);
      }
    }
    const changes: DetachChange[] = [];
    departing.forEach((relation, owners) => {
      const unlink = relation.kind === 'many-to-many';
      if (!unlink) this.#claimKnown(relation, owners, relations, transaction);
      const unseen = owners.filter((owner) => {
        if (this.#isLoaded(owner, relation, transaction)) return unlink && itemsBefore(relation, owner).length > 0;
        // Whoever deletes all that a collection held, as it was last read, needs no search for others.
        const before = itemsBefore(relation, owner);
        return unlink || before.length === 0 || before.some((item) => !this.#isGoing(item));
      });
      if (unseen.length === 0) return;
      const { inverse } = relation;
      changes.push(
        unlink
          ? new DetachChange(
              relation.junction!,
              'delete',
              relation.junctionSource.map(({ column }) => column),
              unseen.map((owner) =>
                relation.junctionSource.map(({ referenced }) => referenced.storedParameter(owner.snapshot!)),
              ),
            )
          : new DetachChange(
              inverse!.source,
              'nullify',
              inverse!.joinColumns,
              unseen.map((owner) => referredValues(inverse!, owner)),
            ),
      );
    });
    return changes;
  }

  /** Objects that the session has are written as changes of their own, so that they know what became of them. */
  #claimKnown(
    relation: RelationMapping,
    owners: readonly InstanceState[],
    { claims }: RelationChanges,
    transaction: PhysicalTransaction | null,
  ): void {
    for (const { child, relation: owning, owner } of knownReferrers(this.#unit, relation.inverse!, owners)) {
      if (child.isMarkedDeleted) continue;
      // What is stale may refer to something else by now; the statement for unloaded rows finds out.
      const isLoaded = this.#isLoaded(owner, relation, transaction);
      if (!isLoaded && this.#reader.rows.isStale(child, transaction) && !this.#unit.isChanged(child)) {
        this.#unit.expire(child);
        continue;
      }
      addClaim(claims, child.entity, new Claim(owning, null, owner.entity, relation));
    }
  }

  #isGoing(entity: object): boolean {
    return this.#unit.own(entity)?.isMarkedDeleted === true;
  }

  #isLoaded(owner: InstanceState, relation: RelationMapping, transaction: PhysicalTransaction | null): boolean {
    const seen = owner.relations?.[relation.index];
    if (seen === undefined || seen.isStale) return false;
    if (transaction !== null && seen.seenIn === transaction) return true;
    return relation.isOwningToOne || !this.#reader.rows.isStale(owner, transaction);
  }
}

const NO_OWNERS = new Map<RelationMapping, never>();

/** Owners by relation. */
class Relations {
  #owners: Map<RelationMapping, Set<InstanceState>> = NO_OWNERS;

  get isEmpty(): boolean {
    return this.#owners.size === 0;
  }

  add(relation: RelationMapping, owner: InstanceState): void {
    if (this.isEmpty) this.#owners = new Map();
    const owners = this.#owners.get(relation);
    if (owners === undefined) this.#owners.set(relation, new Set([owner]));
    else owners.add(owner);
  }

  forEach(visit: (relation: RelationMapping, owners: readonly InstanceState[]) => void): void {
    for (const [relation, owners] of this.#owners) visit(relation, [...owners]);
  }

  *[Symbol.iterator](): Generator<[RelationMapping, InstanceState[]]> {
    for (const [relation, owners] of this.#owners) yield [relation, [...owners]];
  }
}

class Needed implements NeededRelations {
  readonly isReady = false;
  readonly contents = new Relations();
  /** Collections that were assigned without having been loaded: what they replace is not known yet. */
  readonly baselines = new Relations();
  readonly #reader: Reader;

  constructor(reader: Reader) {
    this.#reader = reader;
  }

  get isEmpty(): boolean {
    return this.contents.isEmpty && this.baselines.isEmpty;
  }

  async load(operation: string): Promise<void> {
    for (const [relation, owners] of this.contents) {
      await this.#reader.relations.loadRelation(relation, owners, operation, 'fresh');
    }
    for (const [relation, owners] of this.baselines) {
      await this.#reader.relations.loadRelation(relation, owners, operation, 'baseline');
    }
  }
}

function objectsOf(relation: RelationMapping, owner: InstanceState): object[] {
  const value = relation.get(owner.entity);
  if (Array.isArray(value)) return value as object[];
  return typeof value === 'object' && value !== null ? [value] : [];
}

function itemsBefore(relation: RelationMapping, owner: InstanceState): readonly object[] {
  const seen = owner.relations?.[relation.index];
  if (seen === undefined) return [];
  if (seen.isToMany) return seen.items;
  return seen.related === null ? [] : [seen.related];
}

function isClaimed(claims: readonly Claim[], relation: RelationMapping): boolean {
  return claims.some((claim) => claim.relation === relation && claim.parent !== null);
}

/** True when an object's own side says that it has gone to another parent. */
export function isElsewhere(state: InstanceState, side: RelationMapping, formerParent: object): boolean {
  const owning = ownRelation(state.mapping, side);
  if (!owning.isOwningToOne) return false;
  const value = owning.get(state.entity);
  if (value !== undefined && value !== null && value !== formerParent) return true;
  if (foreignKeyChanged(state, owning)) return true;
  // Not loaded: it says what its row says.
  const parent = stateOf(formerParent);
  if (value !== undefined || state.snapshot === null || parent?.snapshot == null) return false;
  return hasForeignKey(state, owning) && !refersTo(state, owning, parent);
}

/** True when the row of an object is known to refer to some other. */
function hasForeignKey({ snapshot }: InstanceState, owning: RelationMapping): boolean {
  return owning.joinColumns.every((column) => column.storedParameter(snapshot!) != null);
}

/** True when the foreign key was changed by a property of its own. */
function foreignKeyChanged(state: InstanceState, owning: RelationMapping): boolean {
  return owning.joinColumns.some((column) => {
    if (!column.isProperty) return false;
    const value = column.get(state.entity);
    if (value === undefined || value === null) return false;
    const seen = state.snapshot?.[column.index];
    return seen === undefined ? state.snapshot === null : !column.same(value, seen);
  });
}
