import type { InstanceState } from './instance-state.js';
import type { RollbackMemory, SavedState } from './rollback-memory.js';
import type { CommittedChange, CommittedChanges } from './session-events.js';

/** What a unit of work has done to its objects on balance, from how they stood when it began. */
export function netChanges(memory: RollbackMemory): CommittedChanges {
  const inserted: CommittedChange[] = [];
  const updated: CommittedChange[] = [];
  const deleted: CommittedChange[] = [];
  memory.forEachTouched((state, saved) => {
    const had = saved.snapshot !== null && !saved.wasDeleted;
    const has = state.state === 'persistent' && state.snapshot !== null;
    if (!had && has) inserted.push({ entity: state.entity, oldValues: {}, newValues: values(state) });
    else if (had && state.wasDeleted) {
      deleted.push({
        entity: state.entity,
        oldValues: values({ mapping: state.mapping, snapshot: saved.snapshot }),
        newValues: {},
      });
    } else if (had && has) {
      const change = difference(state, saved);
      if (change !== null) updated.push(change);
    }
  });
  return { inserted, updated, deleted };
}

function difference(state: InstanceState, saved: SavedState): CommittedChange | null {
  const before = saved.snapshot!;
  const after = state.snapshot!;
  if (before === after) return null;
  const oldValues: Record<string, unknown> = {};
  const newValues: Record<string, unknown> = {};
  let isChanged = false;
  for (const column of state.mapping.columns) {
    const [from, to] = [before[column.index], after[column.index]];
    if (from === to || to === undefined) continue;
    if (from !== undefined && column.same(column.thaw(to), from)) continue;
    isChanged = true;
    oldValues[column.path] = from === undefined ? undefined : column.thaw(from);
    newValues[column.path] = column.thaw(to);
  }
  return isChanged ? { entity: state.entity, oldValues, newValues } : null;
}

function values({ mapping, snapshot }: Pick<InstanceState, 'mapping' | 'snapshot'>): Record<string, unknown> {
  const all: Record<string, unknown> = {};
  for (const column of mapping.columns) {
    const frozen = snapshot?.[column.index];
    if (frozen !== undefined && column.isProperty) all[column.path] = column.thaw(frozen);
  }
  return all;
}
