import { blankArray } from '../database/blank-array.js';
import type { ColumnMapping, EntityMapping, RelationMapping, Snapshot } from '../database/entity-mapping.js';
import { FlushError, RelationConflictError } from '../errors/flush-errors.js';
import { DeleteChange, InsertChange, KeyOfInsert, RowGuard, SqlExpression, UpdateChange } from '../flush/change-set.js';
import type { Change } from '../flush/change-set.js';
import type { PhysicalTransaction } from '../transaction/physical-transaction.js';
import { effectiveIsolation } from '../transaction/transaction-definition.js';
import { isElsewhere } from './flush-preparation.js';
import type { PreparedFlush } from './flush-preparation.js';
import { stateOf } from './instance-state.js';
import type { InstanceState, RelationSnapshot } from './instance-state.js';
import type { Claim, RelationChanges } from './relation-changes.js';
import { RowPicture, SetRelation } from './row-picture.js';
import { describe } from './unit-of-work.js';
import { formerObject, referredObject, snapshotOfRelation } from './relation-snapshots.js';
import type { UnitOfWork } from './unit-of-work.js';
import { unsendable } from './unsendable-value.js';

/** The changes of one flush, and the pictures of the objects that they belong to. */
export interface CollectedChanges {
  readonly changes: readonly Change[];
  readonly pictures: readonly RowPicture[];
}

/**
 * Finds what a flush has to write, in one synchronous step: new objects, deleted ones, and the net changes of
 * the others. It takes parameters and frozen copies, so that the flush itself never looks at an object again.
 */
export class ChangeCollector {
  readonly #unit: UnitOfWork;
  /** Null for a preview outside every transaction. */
  readonly #transaction: PhysicalTransaction | null;
  readonly #seesOneSnapshot: boolean;
  #deletes: Map<InstanceState, DeleteChange> | null = null;
  #takenOver: Set<InstanceState> | null = null;
  readonly #pictures: RowPicture[] = [];
  readonly #changes: Change[] = [];
  #lastColumns: readonly ColumnMapping[] = NO_COLUMNS;
  /** What is taken of one changed row, by column index; empty between two rows. */
  readonly #taken: unknown[] = [];
  #relations: RelationChanges = NO_RELATIONS;
  /** What was decided last, and by which claim: the children of one parent share both. */
  #lastClaim: Claim | null = null;
  #lastDecision: SetRelation | null = null;

  constructor(unit: UnitOfWork, transaction: PhysicalTransaction | null) {
    this.#unit = unit;
    this.#transaction = transaction;
    this.#seesOneSnapshot =
      transaction !== null &&
      effectiveIsolation(transaction.definition.isolation ?? transaction.database.options.isolation) !==
        'READ COMMITTED';
  }

  collect({ relations, detachments }: PreparedFlush): CollectedChanges {
    const unit = this.#unit;
    this.#relations = relations;
    this.#changes.push(...detachments);
    try {
      // A new row must be known before anything that refers to it is looked at.
      unit.pending.forEach((state) => {
        const picture = new RowPicture(state);
        picture.takesOver = this.#rowSwitch(state);
        if (picture.takesOver !== null) (this.#takenOver ??= new Set()).add(picture.takesOver);
        state.insert = new InsertChange(state.mapping, picture, blankArray(state.mapping.columns.length));
      });
      unit.pending.forEach(({ insert }) => {
        const picture = insert!.subject as RowPicture;
        this.#fillInsert(picture, insert!);
        if (picture.takesOver === null) this.#changes.push(insert!);
        else this.#takeOver(picture, picture.takesOver, insert!);
      });
      unit.identity.forEach((state) => {
        if (!state.isMarkedDeleted) this.#update(state);
        else if (this.#takenOver?.has(state) !== true) this.#delete(state);
      });
      this.#noteReferences();
      this.#link();
    } finally {
      unit.pending.forEach((state) => {
        state.insert = null;
      });
    }
    return { changes: this.#changes, pictures: this.#pictures };
  }

  // ── new rows ──────────────────────────────────────────────────────────────────────────────────────────

  #fillInsert(picture: RowPicture, insert: InsertChange): void {
    const { entity, mapping } = picture.state;
    for (const column of mapping.columns) {
      if (column.role === 'discriminator') {
        insert.values[column.index] = mapping.discriminatorValue ?? undefined;
        continue;
      }
      if (!column.insertable || !column.isProperty) continue;
      const value = column.get(entity);
      if (value === undefined) {
        // The property gets it with the generated values, once the row is there.
        if (column.role === 'version') insert.values[column.index] = 1;
        continue;
      }
      this.#take(column, value, picture, insert.values);
    }
    for (const relation of mapping.relations) {
      if (!relation.isOwningToOne) continue;
      const decision = this.#decide(picture.state, relation);
      if (decision === null) continue;
      picture.set(decision);
      for (let at = 0; at < relation.joinColumns.length; at++) {
        const { index } = relation.joinColumns[at]!;
        insert.values[index] = decision.values[at];
        picture.frozen[index] = undefined;
      }
    }
    picture.change = insert;
    picture.relations = pictureOfRelations(picture.state, null);
    this.#pictures.push(picture);
  }

  /** The deleted object whose key a new one has: its row is changed instead of deleted and inserted (a row switch). */
  #rowSwitch(state: InstanceState): InstanceState | null {
    if (this.#unit.toDelete.size === 0) return null;
    const key = state.mapping.keyOf(state.entity);
    if (key === null) return null;
    const other = this.#unit.identity.get(state.mapping, key);
    return other?.isMarkedDeleted === true && other.mapping === state.mapping ? other : null;
  }

  #takeOver(picture: RowPicture, former: InstanceState, insert: InsertChange): void {
    const { mapping } = picture.state;
    const snapshot = former.snapshot!;
    const columns = mapping.columns.filter(
      (column) =>
        !column.isKey &&
        column.role !== 'version' &&
        !column.computed &&
        insert.values[column.index] !== undefined &&
        !sameStored(column, insert.values[column.index], snapshot),
    );
    picture.state.insert = null;
    picture.change =
      columns.length === 0
        ? null
        : new UpdateChange(
            mapping,
            picture,
            keyOfRow(mapping, snapshot),
            columns,
            columns.map((column) => insert.values[column.index]),
            this.#guard(former, columns, mapping.confirmRows),
          );
    if (picture.change !== null) this.#changes.push(picture.change);
  }

  /** Which deleted rows refer to which others, for tables whose rows have no order by table. */
  #noteReferences(): void {
    const deletes = this.#deletes;
    if (deletes === null || deletes.size < 2) return;
    for (const [state, change] of deletes) {
      for (const relation of state.mapping.relations) {
        if (!relation.isOwningToOne) continue;
        const related = referredObject(this.#unit, state, relation);
        const to = related == null ? undefined : deletes.get(stateOf(related)!);
        if (to !== undefined) change.references.push({ columns: relation.joinColumns, to });
      }
    }
  }

  #take(column: ColumnMapping, value: unknown, picture: RowPicture, values: unknown[]): void {
    if (typeof value === 'function') {
      values[column.index] = new SqlExpression(String((value as () => unknown)()));
      return;
    }
    try {
      // A transformer may give undefined, which is stored as NULL.
      values[column.index] = column.isPlain ? value : (column.toParameter(value) ?? null);
      picture.frozen[column.index] = column.freeze(value);
    } catch (cause) {
      throw new FlushError(unsendable(`${describe(picture.state)}: ${column.path}`, cause), { cause });
    }
  }

  // ── changed rows ──────────────────────────────────────────────────────────────────────────────────────

  #update(state: InstanceState): void {
    const { entity, mapping } = state;
    const snapshot = state.snapshot!;
    const taken = this.#taken;
    let picture: RowPicture | null = null;
    const changed = mapping.changedColumns(entity, snapshot);
    if (changed !== null) {
      picture = new RowPicture(state);
      for (const column of changed) this.#take(column, column.get(entity), picture, taken);
    }
    const claimed = this.#relations.claims.get(entity);
    const relations = mapping.relations.length === 0 ? null : pictureOfRelations(state, state.relations);
    if (claimed !== undefined || relations !== null || picture !== null) {
      for (const relation of mapping.relations) {
        if (!relation.isOwningToOne) continue;
        const decision = this.#decide(state, relation);
        if (decision === null) continue;
        picture ??= new RowPicture(state);
        const { related, isMirrored, values } = decision;
        const former = formerObject(this.#unit, state, relation);
        picture.set(new SetRelation(relation, related, isMirrored, values, former));
        for (let at = 0; at < relation.joinColumns.length; at++) {
          const column = relation.joinColumns[at]!;
          const value = values[at];
          picture.frozen[column.index] = undefined;
          taken[column.index] = sameStored(column, value, snapshot) ? undefined : value;
        }
      }
    }
    if (picture === null) {
      if (relations === null) return;
      picture = new RowPicture(state);
    }
    picture.relations = relations;
    this.#pictures.push(picture);
    const columns = this.#columnsOf(mapping, taken);
    if (columns.length === 0) return;
    picture.change = new UpdateChange(
      mapping,
      picture,
      keyOfRow(mapping, snapshot),
      columns,
      columns.map(({ index }) => {
        const value = taken[index];
        taken[index] = undefined;
        return value;
      }),
      this.#guard(state, columns, mapping.confirmRows),
      snapshot,
    );
    this.#changes.push(picture.change);
  }

  /** The columns that have a value; the same list for rows that change the same columns one after the other. */
  #columnsOf({ columns }: EntityMapping, values: readonly unknown[]): readonly ColumnMapping[] {
    const last = this.#lastColumns;
    let count = 0;
    for (const column of columns) {
      if (values[column.index] === undefined) continue;
      if (last[count] !== column)
        return (this.#lastColumns = columns.filter(({ index }) => values[index] !== undefined));
      count++;
    }
    if (count !== last.length) this.#lastColumns = last.slice(0, count);
    return this.#lastColumns;
  }

  #delete(state: InstanceState): void {
    const { mapping } = state;
    const picture = new RowPicture(state);
    const snapshot = state.snapshot!;
    const change = new DeleteChange(
      mapping,
      picture,
      keyOfRow(mapping, snapshot),
      this.#guard(state, NO_COLUMNS, mapping.version !== null && mapping.confirmRows),
      snapshot,
    );
    picture.change = change;
    (this.#deletes ??= new Map()).set(state, change);
    this.#pictures.push(picture);
    this.#changes.push(change);
  }

  /** What must still hold of the row: its version, else the old values of what changes, unless nobody else can have changed it. */
  #guard(state: InstanceState, columns: readonly ColumnMapping[], mustExist: boolean): RowGuard {
    const { mapping } = state;
    const snapshot = state.snapshot!;
    const transaction = this.#transaction;
    const isLocked = transaction !== null && state.lockedIn === transaction;
    const expected = mapping.version === null ? undefined : mapping.version.storedParameter(snapshot);
    const version = expected ?? undefined;
    const isSafe =
      state.trustedIn === this.#transaction || (this.#seesOneSnapshot && state.seenIn === this.#transaction);
    if (version !== undefined) {
      return new RowGuard(NO_COLUMNS, NO_VALUES, isLocked, mustExist, version);
    }
    if (isSafe || !mapping.staleCheck) return new RowGuard(NO_COLUMNS, NO_VALUES, isLocked, mustExist);
    const isWhole = columns.every((column) => snapshot[column.index] !== undefined);
    const checked = isWhole ? columns : columns.filter((column) => snapshot[column.index] !== undefined);
    const values = checked.map((column) => column.storedParameter(snapshot));
    return new RowGuard(checked, values, isLocked, mustExist);
  }

  // ── foreign keys ──────────────────────────────────────────────────────────────────────────────────────

  /** What an owning relation's foreign key becomes; null where nothing says that it changes. */
  #decide(state: InstanceState, relation: RelationMapping): SetRelation | null {
    const { entity } = state;
    const value = relation.get(entity) as object | null | undefined;
    const seen = state.relations?.[relation.index];
    const isSet = value !== undefined && (seen === undefined || (!seen.isToMany && seen.related !== value));
    let own: SetRelation | null = isSet ? this.#decision(state, relation, value, false) : null;
    // Not loaded, and set to what the row says anyway: that says nothing against a collection that was changed.
    if (own !== null && seen === undefined && isSameKey(relation, own.values, state.snapshot)) own = null;

    let claim: Claim | null = null;
    for (const one of this.#relations.claims.get(entity) ?? NO_CLAIMS) {
      if (one.relation !== relation) continue;
      if (one.parent === null) claim ??= one;
      else if (claim?.parent != null && claim.parent !== one.parent) {
        throw this.#conflict(state, relation, `${one.via.source.name}.${one.via.path} of two objects hold it`);
      } else claim = one;
    }
    if (claim === null) return own;
    if (claim.parent === null) {
      // Taken out of a collection, or its parent is deleted; if it was put elsewhere, that decides.
      if (own !== null || isElsewhere(state, relation, claim.formerParent!)) return own;
      if (relation.orphanAction === 'disable' || relation.orphanAction === 'soft-delete') {
        if (stateOf(claim.formerParent!)?.isMarkedDeleted !== true) return null;
      }
      if (state.state === 'pending' && relation.get(entity) === undefined) return null;
      return this.#decision(state, relation, null, false);
    }
    if (own !== null && own.related !== claim.parent) {
      if (state.state === 'pending' && own.related === null) {
        return this.#claimed(state, claim);
      }
      throw this.#conflict(
        state,
        relation,
        `its own ${relation.path} says otherwise than ${claim.via.source.name}.${claim.via.path}`,
      );
    }
    return own ?? this.#claimed(state, claim);
  }

  #claimed(state: InstanceState, claim: Claim): SetRelation {
    if (this.#lastClaim !== claim) {
      const { relation, parent, via } = claim;
      this.#lastDecision = this.#decision(state, relation, parent, via.path === relation.inverse?.path);
      this.#lastClaim = claim;
    }
    return this.#lastDecision!;
  }

  #decision(state: InstanceState, relation: RelationMapping, related: object | null, isMirrored: boolean): SetRelation {
    return new SetRelation(relation, related, isMirrored, this.#keyOf(state, relation, related));
  }

  #conflict(state: InstanceState, relation: RelationMapping, why: string): RelationConflictError {
    return new RelationConflictError(
      `${describe(state)}: both sides of ${relation.source.name}.${relation.path} were changed, and ${why}. Change one side only, or both to the same.`,
    );
  }

  /** The parameters of a foreign key that refers to an object. */
  #keyOf(state: InstanceState, relation: RelationMapping, related: object | null): unknown[] {
    if (related === null) return relation.joinColumns.map(() => null);
    const target = stateOf(related);
    return relation.referencedColumns.map((column) => {
      const value = this.#storedKey(target, column, related);
      if (value === undefined || value === null) {
        throw new FlushError(
          `${describe(state)}: ${relation.path} refers to ${relation.target.name}, whose ${column.path} is not known. Add that object to the session, or give it its key.`,
        );
      }
      return value;
    });
  }

  #storedKey(state: InstanceState | undefined, column: ColumnMapping, related: object): unknown {
    if (state !== undefined) {
      const { insert } = state;
      if (insert !== null) {
        const own = column.isProperty ? column.get(related) : undefined;
        return own === undefined || own === null ? insert.keyOf(column) : column.toParameter(own);
      }
      if (state.snapshot !== null) {
        const current = column.isKey || !column.isProperty ? undefined : column.get(related);
        return current === undefined ? column.storedParameter(state.snapshot) : column.toParameter(current);
      }
    }
    const value = column.get(related);
    return value === undefined || value === null ? value : column.toParameter(value);
  }

  // ── join tables ───────────────────────────────────────────────────────────────────────────────────────

  #link(): void {
    for (const { relation, source, target, kind } of this.#relations.links) {
      const junction = relation.junction!;
      const values = blankArray<unknown>(junction.columns.length);
      const sourceState = stateOf(source);
      const targetState = stateOf(target);
      const isGone = sourceState?.isMarkedDeleted === true || targetState?.isMarkedDeleted === true;
      if (isGone && kind === 'insert') continue;
      for (const { column, referenced } of relation.junctionSource) {
        values[column.index] = this.#storedKey(sourceState, referenced, source);
      }
      for (const { column, referenced } of relation.junctionTarget) {
        values[column.index] = this.#storedKey(targetState, referenced, target);
      }
      if (kind === 'insert') {
        this.#changes.push(new InsertChange(junction, null, values));
        continue;
      }
      const key = junction.keyColumns.map((column) => values[column.index]);
      if (key.some((part) => part === undefined || part === null || part instanceof KeyOfInsert)) continue;
      this.#changes.push(
        new DeleteChange(junction, null, key, { columns: [], values: [], isLocked: false, mustExist: false }),
      );
    }
  }
}

const NO_RELATIONS: RelationChanges = Object.freeze({ claims: new Map(), links: [], unseen: [] });
const NO_CLAIMS: readonly Claim[] = [];
const NO_COLUMNS: readonly ColumnMapping[] = [];
const NO_VALUES: readonly unknown[] = [];

function keyOfRow({ keyColumns }: EntityMapping, snapshot: Snapshot): unknown[] {
  return keyColumns.map((column) => column.storedParameter(snapshot));
}

function sameStored(column: ColumnMapping, value: unknown, snapshot: readonly unknown[]): boolean {
  if (value instanceof KeyOfInsert || snapshot[column.index] === undefined) return false;
  const stored = column.storedParameter(snapshot);
  if (value === stored) return true;
  if (value === null || stored === null || stored === undefined) return false;
  return column.keyPart(value) === column.keyPart(stored);
}

function isSameKey(
  relation: RelationMapping,
  values: readonly unknown[],
  snapshot: readonly unknown[] | null,
): boolean {
  return snapshot !== null && relation.joinColumns.every((column, at) => sameStored(column, values[at], snapshot));
}

/** The relations as they are now; null where they are as last seen. */
function pictureOfRelations(
  state: InstanceState,
  seen: readonly (RelationSnapshot | undefined)[] | null,
): (RelationSnapshot | undefined)[] | null {
  const { entity, mapping } = state;
  let picture: (RelationSnapshot | undefined)[] | null = null;
  for (const relation of mapping.relations) {
    const value = relation.get(entity);
    if (value === undefined) continue;
    const last = seen?.[relation.index];
    if (last !== undefined && isSame(last, value)) continue;
    picture ??= seen === null ? blankArray(mapping.relations.length) : [...seen];
    picture[relation.index] = snapshotOfRelation(relation, value);
  }
  return picture;
}

function isSame(seen: RelationSnapshot, value: unknown): boolean {
  if (!seen.isToMany) return seen.related === value;
  if (seen.array !== value || seen.items.length !== seen.array.length) return false;
  for (let at = 0; at < seen.items.length; at++) if (seen.items[at] !== seen.array[at]) return false;
  return true;
}
