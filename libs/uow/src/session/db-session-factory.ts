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
  readonly #forgotten: FinalizationRegistry<Session['id']>;

  /** @internal Made by the module. */
  constructor(source: SessionSource) {
    this.#source = source;
    this.#forgotten = new FinalizationRegistry((id) => {
      const opened = this.#open.get(id);
      this.#open.delete(id);
      if (opened === undefined || opened.wasClosed) return;
      source.database.report({
        code: 'UOW_WARN_SESSION_NOT_CLOSED',
        message: `The session opened by ${opened.place.toString()} was never closed, and nobody holds it any more. Close what DbSessionFactory.open() gives (await using), or use DbSessionFactory.begin().`,
      });
    });
  }

  /**
   * Opens a session that belongs to no request and no scope.
   * @returns the session; close it, or hold it with `await using`
   */
  open(options: SessionOptions = {}): DbSession {
    const session = this.#source.open(options);
    const opened = new OpenSession(session, new Place(options.label ?? 'DbSessionFactory.open()'));
    session.context.opener = opened.place;
    session.whenClosed = () => {
      opened.wasClosed = true;
    };
    this.#open.set(session.id, opened);
    this.#forgotten.register(session, session.id, opened);
    return this.#source.handleOf(session);
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
    const opened = new OpenSession(session, new Place('DbSessionFactory.begin()', false));
    session.context.opener = opened.place;
    this.#open.set(session.id, opened);
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
      this.#forgotten.unregister(opened);
      const { session } = opened;
      if (session === undefined || session.context.closed) continue;
      if (opened.isInUse) count++;
      await session.context.close();
    }
    return count;
  }

  /** Where the sessions that are still open were opened. */
  get openedBy(): readonly string[] {
    return [...this.#open.values()]
      .filter((opened) => !opened.wasClosed || opened.isInUse)
      .map(({ place }) => place.toString());
  }

  /**
   * Listens to an event of all sessions of the data source, injected ones included.
   * @returns a function that ends the listening
   */
  on<K extends SessionEventName>(name: K, listener: SessionListener<K>): () => void {
    return this.#source.listeners.on(name, listener);
  }
}

class OpenSession {
  /** A session that was closed can be used again; only one that never was is missed when nobody holds it any more. */
  wasClosed = false;
  readonly #session: WeakRef<Session>;

  constructor(
    session: Session,
    readonly place: Place,
  ) {
    this.#session = new WeakRef(session);
  }

  get session(): Session | undefined {
    return this.#session.deref();
  }

  get isInUse(): boolean {
    const { session } = this;
    if (session === undefined) return false;
    return session.transaction !== null || session.unit.identity.size > 0 || session.unit.pending.size > 0;
  }
}
