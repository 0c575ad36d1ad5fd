import type { DataSource, EntityMetadata, EntitySubscriberInterface } from 'typeorm';
import type { EntityListeners, ListenedEvent, ListenedMoment } from '../database/entity-mapping.js';
import type { PhysicalTransaction } from '../transaction/physical-transaction.js';
import { transactionRunner } from './transaction-runner.js';

const MOMENTS: readonly ListenedMoment[] = [
  'beforeInsert',
  'afterInsert',
  'beforeUpdate',
  'afterUpdate',
  'beforeRemove',
  'afterRemove',
  'afterLoad',
];

/**
 * TypeORM's entity listeners (`@BeforeInsert()`, …) and subscribers, for one entity, called by sessions as a
 * repository's `save` would call them. Subscribers may come and go while the application runs, so they are looked
 * for each time.
 */
export class CompiledListeners implements EntityListeners {
  readonly #dataSource: DataSource;
  readonly #metadata: EntityMetadata;
  /** Moments for which the entity has listeners of its own. */
  readonly #listened: ReadonlySet<ListenedMoment>;

  constructor(dataSource: DataSource, metadata: EntityMetadata) {
    this.#dataSource = dataSource;
    this.#metadata = metadata;
    this.#listened = new Set(MOMENTS.filter((moment) => metadata[`${moment}Listeners`].length > 0));
  }

  get isHeard(): boolean {
    return this.#listened.size > 0 || this.#dataSource.subscribers.length > 0;
  }

  has(moment: ListenedMoment): boolean {
    if (this.#listened.has(moment)) return true;
    return this.#dataSource.subscribers.length > 0 && this.#subscribers(moment).length > 0;
  }

  async run(moment: ListenedMoment, entity: object, event: ListenedEvent): Promise<void> {
    for (const listener of this.#metadata[`${moment}Listeners`]) {
      if (listener.isAllowed(entity)) await (listener.execute(entity) as unknown);
    }
    const subscribers = this.#subscribers(moment);
    if (subscribers.length === 0) return;
    const told = this.#event(moment, entity, event);
    for (const subscriber of subscribers) {
      if (moment === 'afterLoad') await subscriber.afterLoad?.(entity, told as never);
      else await subscriber[moment]?.(told as never);
    }
  }

  #subscribers(moment: ListenedMoment): EntitySubscriberInterface[] {
    const { target } = this.#metadata;
    const { subscribers } = this.#dataSource;
    if (subscribers.length === 0) return subscribers;
    return subscribers.filter((subscriber) => {
      if (typeof subscriber[moment] !== 'function') return false;
      const listened: unknown = subscriber.listenTo?.();
      if (listened === undefined || listened === null || listened === Object || listened === target) return true;
      return typeof listened === 'function' && typeof target === 'function' && target.prototype instanceof listened;
    });
  }

  #event(moment: ListenedMoment, entity: object, { transaction, before, changed, relations }: ListenedEvent): object {
    const dataSource = this.#dataSource;
    const metadata = this.#metadata;
    const queryRunner =
      transaction === null ? undefined : transactionRunner(dataSource, transaction as PhysicalTransaction);
    const event = {
      dataSource,
      connection: dataSource,
      queryRunner,
      manager: queryRunner?.manager ?? dataSource.manager,
      metadata,
      entity,
      entityId: metadata.getEntityIdMap(entity),
    };
    if (moment === 'afterLoad' || moment === 'beforeInsert' || moment === 'afterInsert') return event;
    return {
      ...event,
      databaseEntity: before,
      updatedColumns: metadata.columns.filter((column) => changed.includes(column.propertyPath)),
      updatedRelations: metadata.relations.filter((relation) => relations.includes(relation.propertyPath)),
    };
  }
}
