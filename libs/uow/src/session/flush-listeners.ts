import type { EntityMappings, ListenedEvent, ListenedMoment } from '../database/entity-mapping.js';
import type { PhysicalTransaction } from '../transaction/physical-transaction.js';
import { changesOf } from './inspect.js';
import type { InstanceState } from './instance-state.js';
import type { RowPicture } from './row-picture.js';
import type { UnitOfWork } from './unit-of-work.js';

/**
 * Calls TypeORM's entity listeners and subscribers around one flush. Those before it may change objects, add and
 * delete; the flush looks again until all that it will write has been announced.
 */
export class FlushListeners {
  readonly #unit: UnitOfWork;
  readonly #transaction: PhysicalTransaction;
  readonly #told = new Set<InstanceState>();
  readonly #before = new Map<InstanceState, ListenedEvent>();

  constructor(unit: UnitOfWork, transaction: PhysicalTransaction) {
    this.#unit = unit;
    this.#transaction = transaction;
  }

  /** What is still to be announced. Looks only, so that a picture can be taken right after. */
  get news(): readonly [InstanceState, ListenedMoment][] {
    const news: [InstanceState, ListenedMoment][] = [];
    for (const [state, moment] of this.#coming()) {
      if (this.#told.has(state)) continue;
      const { listeners } = state.mapping;
      if (listeners.has(moment)) news.push([state, moment]);
      else if (listeners.has(AFTER_MOMENT[moment]!) && !this.#before.has(state)) {
        this.#before.set(state, this.#eventFor(state));
      }
    }
    return news;
  }

  /** Calls those who listen before the write; they may change objects, add and delete. */
  async announce(news: readonly [InstanceState, ListenedMoment][]): Promise<void> {
    for (const [state, moment] of news) {
      this.#told.add(state);
      const event = this.#eventFor(state);
      this.#before.set(state, event);
      await state.mapping.listeners.run(moment, state.entity, event);
    }
  }

  /** Tells what was written. */
  async after(pictures: readonly RowPicture[]): Promise<void> {
    for (const { change, state } of pictures) {
      if (change === null) continue;
      const moment = AFTER[change.kind as keyof typeof AFTER];
      if (!state.mapping.listeners.has(moment)) continue;
      await state.mapping.listeners.run(moment, state.entity, this.#before.get(state) ?? this.#eventFor(state));
    }
  }

  *#coming(): Generator<[InstanceState, ListenedMoment]> {
    for (const state of [...this.#unit.pending]) yield [state, 'beforeInsert'];
    for (const state of [...this.#unit.toDelete]) yield [state, 'beforeRemove'];
    for (const state of [...this.#unit.identity]) {
      if (!state.isMarkedDeleted && this.#unit.isChanged(state)) yield [state, 'beforeUpdate'];
    }
  }

  #eventFor(state: InstanceState): ListenedEvent {
    const { mapping, snapshot } = state;
    const paths = Object.keys(changesOf(state));
    const isRelation = (path: string): boolean => mapping.relations.some((relation) => relation.path === path);
    let before: object | undefined;
    if (snapshot !== null) {
      before = mapping.create();
      for (const column of mapping.columns) {
        const frozen = snapshot[column.index];
        if (column.isProperty && frozen !== undefined) column.set(before, column.thaw(frozen));
      }
    }
    return {
      transaction: this.#transaction,
      before,
      changed: paths.filter((path) => !isRelation(path)),
      relations: paths.filter(isRelation),
    };
  }
}

const AFTER = { insert: 'afterInsert', update: 'afterUpdate', delete: 'afterRemove' } as const;

const AFTER_MOMENT: Partial<Record<ListenedMoment, ListenedMoment>> = {
  beforeInsert: 'afterInsert',
  beforeUpdate: 'afterUpdate',
  beforeRemove: 'afterRemove',
};

/** True where code of the application runs after the rows are written, so that COMMIT must wait for it. */
export function isHeardAfter(pictures: readonly RowPicture[]): boolean {
  return pictures.some(
    ({ change, state }) => change !== null && state.mapping.listeners.has(AFTER[change.kind as keyof typeof AFTER]),
  );
}

/** True where any entity has a listener of the moments before and after a flush. */
export function listensToFlushes(mappings: EntityMappings): boolean {
  return mappings.all.some(({ listeners }) => listeners.isHeard && MOMENTS.some((moment) => listeners.has(moment)));
}

const MOMENTS: readonly ListenedMoment[] = [
  'beforeInsert',
  'beforeUpdate',
  'beforeRemove',
  'afterInsert',
  'afterUpdate',
  'afterRemove',
];
