import type { ColumnMapping, RelationMapping } from '../database/entity-mapping.js';
import type { LockOptions } from '../database/loading.js';
import { EntityNotFoundError, InvalidSessionOperationError } from '../errors/session-errors.js';
import type { InstanceState } from './instance-state.js';
import type { Reader } from './reader.js';
import { describe } from './unit-of-work.js';
import type { UnitOfWork } from './unit-of-work.js';

/** What `refresh` takes: a lock, and relations to read again with the row. */
export interface RefreshOptions extends LockOptions {
  /** Relations to read again, with the objects in them: paths such as `'entries'`, or TypeORM's tree of them. */
  readonly relations?: readonly string[] | object;
}

/** As much of a session as refreshing needs. */
interface RefreshingSession {
  autoflush(operation: string): Promise<void> | undefined;
  relationPaths(state: InstanceState, relations: unknown): string[];
}

/**
 * Gives up what is set on objects and not flushed, and brings them up to their rows: at once (`refresh`), or at
 * the next read (`expire`).
 */
export class Refreshing {
  readonly #session: RefreshingSession;
  readonly #unit: UnitOfWork;
  readonly #reader: Reader;

  constructor(session: RefreshingSession, unit: UnitOfWork, reader: Reader) {
    this.#session = session;
    this.#unit = unit;
    this.#reader = reader;
  }

  /** Reads rows again, one query for each table, and overwrites the objects with them. */
  async refresh(entities: readonly object[], options: RefreshOptions, operation: string): Promise<void> {
    const states = [...new Set(entities)].map((entity) => this.#persistent(entity, 'refresh'));
    // Given up before the autoflush, which would write it otherwise.
    for (const state of states) this.#giveUp(state);
    await this.#session.autoflush(operation);
    const { relations, ...lock } = options;
    for (const group of groupedBy(states, (state) => state.mapping.root)) await this.#read(group, lock, operation);
    for (const group of groupedBy(states, (state) => state.mapping)) {
      const { mapping } = group[0]!;
      const eager = mapping.relations.filter((relation) => relation.eager).map((relation) => relation.path);
      const asked = relations === undefined ? [] : this.#session.relationPaths(group[0]!, relations);
      const paths = [...new Set([...eager, ...asked])];
      if (paths.length > 0) await this.#reader.relations.load(group, paths, operation, { again: true });
    }
  }

  async #read(states: readonly InstanceState[], lock: LockOptions, operation: string): Promise<void> {
    const { root } = states[0]!.mapping;
    const keys = new Map(
      states.map((state) => [state.key!, root.keyColumns.map((column) => column.storedParameter(state.snapshot!))]),
    );
    const names = states.map((state) => describe(state));
    const read = await this.#reader.readByKey(root, keys, { ...lock, populateExisting: true }, operation);
    if (lock.skipLocked === true) return;
    const gone = names.filter((_, at) => !read.has([...keys.keys()][at]!));
    if (gone.length === 0) return;
    throw new EntityNotFoundError(
      `refresh: the row of ${gone.join(', ')} is gone, and so has the object left the session. Ask with get() where a row may be missing.`,
      root.name,
      gone,
    );
  }

  /** Marks an object, or some properties of it, as to be read again. */
  expire(entity: object, properties: readonly string[] | undefined): void {
    const state = this.#persistent(entity, 'expire');
    if (properties === undefined) {
      this.#giveUp(state);
      return;
    }
    const columns: ColumnMapping[] = [];
    const relations: RelationMapping[] = [];
    for (const path of properties) {
      const column = state.mapping.columns.find((one) => one.isProperty && one.path === path);
      const relation = state.mapping.relations.find((one) => one.path === path);
      if (column === undefined && relation === undefined) {
        throw new InvalidSessionOperationError(`expire: ${state.mapping.name} has no mapped property "${path}".`);
      }
      if (column !== undefined) columns.push(column);
      if (relation !== undefined) {
        relations.push(relation);
        columns.push(...relation.joinColumns);
      }
    }
    this.#reader.rows.touchRead(state);
    this.#unit.restoreProperties(state, columns, relations);
    if (columns.length > 0) state.expired = new Set([...(state.expired ?? []), ...columns]);
    if (relations.length > 0) this.#reader.rows.markRelationsStale(state, relations);
  }

  expireAll(): void {
    this.#unit.identity.forEach((state) => {
      this.#giveUp(state);
    });
  }

  #giveUp(state: InstanceState): void {
    this.#reader.rows.touchRead(state);
    this.#unit.restoreValues(state);
    this.#unit.expire(state);
  }

  #persistent(entity: object, operation: string): InstanceState {
    const mapping = this.#unit.mappingOf(entity);
    const state = this.#unit.own(entity);
    if (state?.state === 'persistent') return state;
    throw new InvalidSessionOperationError(
      `${operation}: this ${mapping.name} is ${state?.state ?? 'not in the session'}; only a persistent object of the session has a row to be read again.`,
    );
  }
}

function groupedBy<K>(states: readonly InstanceState[], key: (state: InstanceState) => K): InstanceState[][] {
  const groups = new Map<K, InstanceState[]>();
  for (const state of states) {
    const group = groups.get(key(state));
    if (group === undefined) groups.set(key(state), [state]);
    else group.push(state);
  }
  return [...groups.values()];
}
