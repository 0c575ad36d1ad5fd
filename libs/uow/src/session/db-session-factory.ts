import { Place } from '../transaction/place.js';
import type { TransactionOptions } from '../transaction/transaction-definition.js';
import { commitOnSuccess } from './commit-on-success.js';
import type { DbSession } from './db-session.js';
import type { SessionEventName, SessionListener } from './session-events.js';
import type { Session, SessionOptions } from './session.js';
import type { SessionSource } from './session-source.js';

/**
 * Opens sessions of one's own, for work outside requests and `@Transactional()` methods (SQLAlchemy's
 * `sessionmaker`). Whoever opens one closes it.
 *
 * @example
 * await factory.begin(async (session) => {
 *   session.add(new Customer('Ada'));
 * }); // committed and closed
 */
export class DbSessionFactory {
  readonly #source: SessionSource;
  // Weak, so that a session which nobody holds any more is noticed; one with an open transaction is held by that.
  readonly #open = new Map<Session['id'], OpenSession>();
  readonly #forgotten: FinalizationRegistry<Forgotten>;

  /** @internal Made by the module. */
  constructor(source: SessionSource) {
    this.#source = source;
    this.#forgotten = new FinalizationRegistry(({ id, place }) => {
      if (!this.#open.delete(id)) return;
      source.database.report({
        code: 'UOW_WARN_SESSION_NOT_CLOSED',
        message: `The session opened by ${place.toString()} was never closed, and nobody holds it any more. Close what DbSessionFactory.open() gives (await using), or use DbSessionFactory.begin().`,
      });
    });
  }

  /**
   * Opens a session that belongs to no request and no scope.
   * @returns the session; close it, or hold it with `await using`
   */
  open(options: SessionOptions = {}): DbSession {
    const session = this.#source.open(options);
    const handle = this.#source.handleOf(session);
    const place = new Place(options.label ?? 'DbSessionFactory.open()');
    const { id, context } = session;
    this.#open.set(id, { session: new WeakRef(session), place });
    this.#forgotten.register(handle, { id, place }, context);
    this.#watch(new WeakRef(session), place);
    return handle;
  }

  /** Warns of a transaction that stays open for longer than `warnAfter`: it holds a connection, and perhaps locks. */
  #watch(held: WeakRef<Session>, place: Place): void {
    const { warnAfter } = this.#source.database.options;
    if (!Number.isFinite(warnAfter) || warnAfter <= 0) return;
    let seen: object | null = null;
    let isTold = false;
    const timer = setInterval(() => {
      const session = held.deref();
      if (session === undefined || session.context.closed || !this.#open.has(session.id)) {
        clearInterval(timer);
        return;
      }
      const { transaction } = session;
      if (transaction !== seen) {
        seen = transaction;
        isTold = false;
        return;
      }
      if (transaction === null || !transaction.begun || isTold) return;
      isTold = true;
      this.#source.database.report({
        code: 'UOW_WARN_SESSION_OPEN_TOO_LONG',
        message: `The session opened by ${place.toString()} has had a transaction open for more than ${warnAfter} ms, begun by ${transaction.place.toString()}: it holds a connection, and perhaps locks. Commit or roll back before anything slow.`,
      });
    }, warnAfter);
    timer.unref();
  }

  /**
   * Opens a session with a transaction around `fn`: commits and closes when `fn` returns, rolls back and closes
   * when it throws.
   * @returns what `fn` returns, after COMMIT
   */
  begin<T>(fn: (session: DbSession) => T | Promise<T>): Promise<T>;
  begin<T>(options: SessionOptions & TransactionOptions, fn: (session: DbSession) => T | Promise<T>): Promise<T>;
  async begin<T>(
    first: (SessionOptions & TransactionOptions) | ((session: DbSession) => T | Promise<T>),
    second?: (session: DbSession) => T | Promise<T>,
  ): Promise<T> {
    const options = typeof first === 'function' ? {} : first;
    const fn = typeof first === 'function' ? first : second!;
    const session = this.#source.open(options);
    const handle = this.#source.handleOf(session);
    this.#open.set(session.id, { session: new WeakRef(session), place: new Place('DbSessionFactory.begin()', false) });
    try {
      return await commitOnSuccess(session, options, () => fn(handle));
    } finally {
      this.#open.delete(session.id);
      await session.context.close();
    }
  }

  /**
   * Closes every session that this factory opened and that is still in use: rolls back what is open, empties it.
   * @returns how many there were
   */
  async closeAll(): Promise<number> {
    let count = 0;
    for (const [id, opened] of [...this.#open]) {
      this.#open.delete(id);
      const session = opened.session.deref();
      if (session === undefined || session.context.closed) continue;
      if (session.transaction !== null || session.unit.identity.size > 0 || session.unit.pending.size > 0) count++;
      this.#forgotten.unregister(session.context);
      await session.context.close();
    }
    return count;
  }

  /** Where the sessions that are still open were opened. */
  get openedBy(): readonly string[] {
    return [...this.#open.values()].map(({ place }) => place.toString());
  }

  /**
   * Listens to an event of all sessions of the data source, injected ones included.
   * @returns a function that ends the listening
   */
  on<K extends SessionEventName>(name: K, listener: SessionListener<K>): () => void {
    return this.#source.listeners.on(name, listener);
  }
}

interface OpenSession {
  readonly session: WeakRef<Session>;
  readonly place: Place;
}

interface Forgotten {
  readonly id: string;
  readonly place: Place;
}
