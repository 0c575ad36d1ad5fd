import { stateOf } from './instance-state.js';
import type { InstanceState, SessionIdentity } from './instance-state.js';
import type { ObjectState } from './object-state.js';

/** What is known of an object and its session (SQLAlchemy's `inspect()`). */
export interface Inspection {
  readonly state: ObjectState;
  /** The session that the object belongs to; null for none. */
  readonly session: SessionIdentity | null;
  /** Its key, by property; null for an object without a row. */
  readonly identity: Readonly<Record<string, unknown>> | null;
  /** Net changes since the row was last seen, by property. */
  readonly changes: Readonly<Record<string, ValueChange>>;
}

export interface ValueChange {
  readonly from: unknown;
  readonly to: unknown;
}

/**
 * Tells an object's state towards the library, whichever session it belongs to. Never sends SQL.
 *
 * @example
 * inspectEntity(account).state; // 'persistent'
 */
export function inspectEntity(entity: object): Inspection {
  return inspectState(entity, null);
}

/** As `inspectEntity`, seen from one session: an object of another is not its own. */
export function inspectState(entity: object, session: SessionIdentity | null): Inspection {
  const state = stateOf(entity);
  if (state === undefined) return { state: 'transient', session: null, identity: null, changes: {} };
  const holder = session !== null && state.session !== session ? null : state.session;
  return {
    state: state.state,
    session: holder,
    identity: identityOf(state),
    changes: changesOf(state),
  };
}

function identityOf(state: InstanceState): Record<string, unknown> | null {
  const { mapping, snapshot, key } = state;
  if (snapshot === null || key === null) return null;
  return Object.fromEntries(mapping.keyColumns.map((column) => [column.path, column.thaw(snapshot[column.index])]));
}

/** Net changes of an object since its row was last seen; of a new one, all that is set. */
export function changesOf(state: InstanceState): Record<string, ValueChange> {
  const { mapping, entity, snapshot, relations } = state;
  const changes: Record<string, ValueChange> = {};
  if (state.state !== 'persistent' && state.state !== 'pending' && state.state !== 'detached') return changes;
  for (const column of mapping.columns) {
    if (!column.isProperty) continue;
    const value = column.get(entity);
    if (value === undefined) continue;
    const frozen = snapshot?.[column.index];
    if (frozen !== undefined && (value === frozen || column.same(value, frozen))) continue;
    changes[column.path] = { from: frozen === undefined ? undefined : column.thaw(frozen), to: value };
  }
  for (const relation of mapping.relations) {
    const value = relation.get(entity);
    if (value === undefined) continue;
    const seen = relations?.[relation.index];
    if (seen === undefined) changes[relation.path] = { from: undefined, to: value };
    else if (seen.isToMany) {
      const items = value as object[];
      const isSame = items.length === seen.items.length && items.every((item, at) => item === seen.items[at]);
      if (!isSame) changes[relation.path] = { from: [...seen.items], to: [...items] };
    } else if (seen.related !== value) changes[relation.path] = { from: seen.related, to: value };
  }
  return changes;
}
