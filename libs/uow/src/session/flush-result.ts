import { blankArray } from '../database/blank-array.js';
import type { ColumnMapping, RelationMapping } from '../database/entity-mapping.js';
import { KeyOfInsert, SqlExpression, answerFor, resolved } from '../flush/change-set.js';
import type { InsertChange, UpdateChange } from '../flush/change-set.js';
import type { PhysicalTransaction } from '../transaction/physical-transaction.js';
import { Mirrors } from './mirrors.js';
import { referredObject, snapshotOfRelation } from './relation-snapshots.js';
import { followDatabase } from './departures.js';
import { noteWritten } from './instance-state.js';
import type { InstanceState } from './instance-state.js';
import type { RowPicture, SetRelation } from './row-picture.js';
import type { UnitOfWork } from './unit-of-work.js';

/**
 * Brings objects up to what a successful flush has written: generated values go onto them, their snapshots
 * become what the database has now, their states move on, and both sides of each relation say the same.
 */
export function applyFlush(unit: UnitOfWork, pictures: readonly RowPicture[], transaction: PhysicalTransaction): void {
  // Deleted ones first: a new object may have taken over the key.
  let deleted: InstanceState[] | null = null;
  for (const { change, state, takesOver } of pictures) {
    if (change?.kind === 'delete') {
      unit.rowDeleted(state);
      (deleted ??= []).push(state);
    }
    if (takesOver !== null) unit.rowDeleted(takesOver);
  }
  const mirrors = new Mirrors(unit);
  for (const picture of pictures) {
    const { change } = picture;
    if (change?.kind === 'insert') applyInsert(unit, picture, change, transaction);
    else if (picture.takesOver !== null) applyTakeOver(unit, picture, picture.takesOver, change, transaction);
    else if (change?.kind === 'update') applyUpdate(unit, picture, change, transaction);
    if (change?.kind !== 'delete') applyRelations(unit, picture, mirrors);
  }
  // When every side is as its own object says: otherwise what is put there would be taken for its change.
  mirrors.apply();
  if (deleted !== null) followDatabase(unit, deleted);
}

function applyInsert(
  unit: UnitOfWork,
  picture: RowPicture,
  change: InsertChange,
  transaction: PhysicalTransaction,
): void {
  const { state } = picture;
  const { mapping } = state;
  unit.memory.touch(state);
  state.written ??= 'nothing';
  const snapshot = picture.frozen;
  for (const column of mapping.columns) {
    applyColumn(column, change.later?.[column.index] ?? change.values[column.index], change, picture, snapshot);
  }
  state.snapshot = snapshot;
  state.key = mapping.keyOfSnapshot(snapshot);
  state.seenIn = transaction;
  state.lockedIn = transaction;
  state.trustedIn = transaction;
  unit.pending.delete(state);
  unit.identity.set(state);
  unit.believe(state);
  unit.move(state, 'persistent', 'flush');
}

/** A new object has got the row of a deleted one: what it did not set, it takes over. */
function applyTakeOver(
  unit: UnitOfWork,
  picture: RowPicture,
  former: InstanceState,
  change: RowPicture['change'],
  transaction: PhysicalTransaction,
): void {
  const { state } = picture;
  unit.memory.touch(state);
  state.written ??= 'nothing';
  state.snapshot = former.snapshot;
  state.key = former.key;
  unit.pending.delete(state);
  unit.identity.set(state);
  unit.believe(state);
  unit.move(state, 'persistent', 'flush');
  if (change?.kind === 'update') applyUpdate(unit, picture, change, transaction);
  state.seenIn = transaction;
  for (const column of state.mapping.columns) {
    if (!column.isProperty || column.get(state.entity) !== undefined) continue;
    writeProperty(column, state, column.thaw(state.snapshot![column.index]));
  }
}

function applyUpdate(
  unit: UnitOfWork,
  picture: RowPicture,
  change: UpdateChange,
  transaction: PhysicalTransaction,
): void {
  const { state } = picture;
  const { mapping } = state;
  unit.memory.touch(state);
  const { columns } = change;
  const snapshot = state.snapshot!.slice();
  for (let at = 0; at < columns.length; at++) applyColumn(columns[at]!, change.values[at], change, picture, snapshot);
  const { version, updateDate } = mapping;
  if (version !== null && !columns.includes(version)) applyColumn(version, undefined, change, picture, snapshot);
  if (updateDate !== null && !columns.includes(updateDate)) {
    applyColumn(updateDate, undefined, change, picture, snapshot);
  }
  if (columns.some(isKey)) {
    unit.identity.delete(state);
    state.key = mapping.keyOfSnapshot(snapshot);
    unit.identity.set(state);
  }
  state.snapshot = snapshot;
  state.lockedIn = transaction;
  // A version that fits says that the whole row is as it was read.
  if (change.guard.version !== undefined) state.trustedIn = transaction;
  followForeignKeys(unit, picture, change);
}

/** One column of a written row: its new snapshot, and the property where the value was not the property's own. */
function applyColumn(
  column: ColumnMapping,
  sent: unknown,
  change: InsertChange | UpdateChange,
  picture: RowPicture,
  snapshot: unknown[],
): void {
  const { entity } = picture.state;
  const own = picture.frozen[column.index];
  if (own !== undefined) {
    snapshot[column.index] = own;
    if (column.rawSlot !== -1) snapshot[column.rawSlot] = sent;
    return;
  }
  const isAnswered = sent === undefined || sent instanceof SqlExpression;
  const raw = isAnswered ? answerFor(change, column) : resolved(sent);
  if (raw === undefined) return;
  const value = isAnswered || sent instanceof KeyOfInsert ? column.fromRow(raw) : fromParameter(column, raw);
  snapshot[column.index] = isAnswered ? column.freezeRead(value, raw) : column.freeze(value);
  if (column.rawSlot !== -1) snapshot[column.rawSlot] = isAnswered ? column.rawToParameter(raw) : raw;
  if (!column.isProperty) return;
  const before = column.get(entity);
  if (before === undefined || !column.same(before, snapshot[column.index])) writeProperty(column, picture.state, value);
}

/** Sets a property on behalf of a flush; of a new object it is remembered, for a rollback to take it back. */
function writeProperty(column: ColumnMapping, state: InstanceState, value: unknown): void {
  const { entity } = state;
  const before = column.get(entity);
  column.set(entity, value);
  noteWritten(state, column, before, value);
}

/** The property value of a foreign key that was sent as the parameter of the key that it refers to. */
function fromParameter(column: ColumnMapping, parameter: unknown): unknown {
  return parameter === null ? null : column.fromRow(parameter);
}

const NO_SETS: readonly SetRelation[] = [];

// ── relations ─────────────────────────────────────────────────────────────────────────────────────────────

/** @param mirrors takes what is to be done to the other sides, once all objects have been through this */
function applyRelations(unit: UnitOfWork, picture: RowPicture, mirrors: Mirrors): void {
  const { state } = picture;
  if (picture.relations === null && picture.sets === null) return;
  unit.memory.touch(state);
  const before = state.relations;
  const { relations } = state.mapping;
  state.relations = picture.relations ?? (before === null ? blankArray(relations.length) : [...before]);
  for (const { relation, related, former, isMirrored } of picture.sets ?? NO_SETS) {
    const value = relation.get(state.entity);
    const written = state.relations[relation.index];
    const isAsWritten = value == null || value === former || (written?.isToMany === false && value === written.related);
    if (value !== related && isAsWritten) {
      setRelation(state, relation, related);
    }
    state.relations[relation.index] = mirrors.toOne(related);
    if (relation.inverse === null) continue;
    if (former !== null && former !== related) mirrors.add('leave', former, relation.inverse, state.entity);
    if (related !== null && !isMirrored) mirrors.add('join', related, relation.inverse, state.entity);
  }
  for (const relation of relations) mirrorLinks(unit, state, relation, before, mirrors);
}

/** What came into a many-to-many collection, or left it, does so on the other side, too. */
function mirrorLinks(
  unit: UnitOfWork,
  state: InstanceState,
  relation: RelationMapping,
  before: InstanceState['relations'],
  mirrors: Mirrors,
): void {
  const { inverse } = relation;
  const now = state.relations?.[relation.index];
  const last = before?.[relation.index];
  if (relation.kind !== 'many-to-many' || inverse === null || now === last || now?.isToMany !== true) return;
  const had = new Set(last?.isToMany === true ? last.items : []);
  const has = new Set(now.items);
  for (const item of has) if (!had.has(item)) mirrors.add('join', item, inverse, state.entity);
  for (const item of had) if (!has.has(item)) mirrors.add('leave', item, inverse, state.entity);
}

/** Sets a relation on behalf of a flush or a load; of a new object it is remembered, for a rollback to take it back. */
export function setRelation(state: InstanceState, relation: RelationMapping, related: object | null | undefined): void {
  const { entity } = state;
  const before = relation.get(entity);
  relation.set(entity, related);
  noteWritten(state, relation, before, related);
}

function isKey(column: ColumnMapping): boolean {
  return column.isKey;
}

/** A foreign key that was changed by its own property: the relation shows the object that it refers to now, if it is loaded. */
function followForeignKeys(unit: UnitOfWork, picture: RowPicture, change: UpdateChange): void {
  const { state } = picture;
  for (const relation of state.mapping.relations) {
    if (!relation.isOwningToOne || picture.sets?.some((set) => set.relation === relation) === true) continue;
    if (!relation.joinColumns.some((column) => column.isProperty && change.columns.includes(column))) continue;
    const seen = state.relations?.[relation.index];
    if (seen === undefined || seen.isToMany || relation.get(state.entity) !== seen.related) continue;
    const related = referredObject(unit, state, relation);
    picture.relations ??= [...(state.relations ?? [])];
    relation.set(state.entity, related);
    picture.relations[relation.index] = related === undefined ? undefined : snapshotOfRelation(relation, related);
  }
}
