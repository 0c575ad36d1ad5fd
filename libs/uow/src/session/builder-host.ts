import type { EntityMapping, IdentityKey, RelationMapping, RowReader } from '../database/entity-mapping.js';
import type { BuilderHost } from '../database/loading.js';
import type { PhysicalTransaction } from '../transaction/physical-transaction.js';
import type { Session } from './session.js';
import { snapshotOfRelation } from './relation-snapshots.js';

const OPERATION = 'session.createQueryBuilder()';

/** What TypeORM's builder does on a session, in the session's terms. */
export class SessionBuilderHost implements BuilderHost<PhysicalTransaction> {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  transaction(needs: 'read' | 'lock' | 'write'): PhysicalTransaction | null {
    const transaction = this.#session.transactionFor(needs, OPERATION);
    if (needs !== 'read') transaction?.assertWritable(OPERATION);
    return transaction;
  }

  autoflush(): Promise<void> {
    return this.#session.autoflush(OPERATION) ?? Promise.resolve();
  }

  absorb(mapping: EntityMapping, reader: RowReader, row: unknown[]): void {
    this.#session.reader.rows.absorb(mapping, reader, row, null);
  }

  known(mapping: EntityMapping, key: IdentityKey): object | null {
    return this.#session.unit.identity.get(mapping, key)?.entity ?? null;
  }

  relate(entity: object, relation: RelationMapping, related: object | object[] | null): void {
    const { unit, reader, transaction } = this.#session;
    const state = unit.own(entity);
    if (state === undefined) return;
    const seen = state.relations?.[relation.index];
    // What is loaded and to be believed is not overwritten, and what the user has set there is a change.
    if (relation.get(entity) !== undefined && seen?.isStale !== true) return;
    reader.rows.touchRead(state);
    let value = related;
    if (Array.isArray(value) && seen?.isToMany === true) {
      seen.array.splice(0, seen.array.length, ...value);
      value = seen.array;
    }
    relation.set(entity, value);
    state.relations = state.relations === null ? [] : [...state.relations];
    state.relations[relation.index] = snapshotOfRelation(relation, value, transaction);
  }

  wrote(target: EntityMapping['target'] | undefined): void {
    const { synchronization } = this.#session.context;
    synchronization?.joinedWrite?.(target === undefined ? { kind: 'raw' } : { kind: 'update', target });
  }
}
