import { runDetached } from '../transaction/ambient.js';
import type { PhysicalTransaction } from '../transaction/physical-transaction.js';
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
  #watch: NodeJS.Timeout | null = null;

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
    session.whenClosed = () => {
      opened.wasClosed = true;
    };
    this.#open.set(session.id, opened);
    this.#forgotten.register(session, session.id, opened);
    // Outside of the running request: the timer would keep what belongs to it.
    if (this.#watch === null) runDetached(() => this.#startWatching());
    return this.#source.handleOf(session);
  }

  /** Warns of transactions that stay open for longer than `warnAfter`: they hold a connection, and perhaps locks. */
  #startWatching(): void {
    const { warnAfter } = this.#source.database.options;
    if (!Number.isFinite(warnAfter) || warnAfter <= 0) return;
    this.#watch = setInterval(() => {
      if (this.#open.size === 0) this.#stopWatching();
      for (const opened of this.#open.values()) {
        const late = opened.endsByItself ? null : opened.late();
        if (late === null) continue;
        this.#source.database.report({
          code: 'UOW_WARN_SESSION_OPEN_TOO_LONG',
          message: `The session opened by ${opened.place.toString()} has had a transaction open for more than ${warnAfter} ms, begun by ${late.place.toString()}: it holds a connection, and perhaps locks. Commit or roll back before anything slow.`,
        });
      }
    }, warnAfter).unref();
  }

  #stopWatching(): void {
    if (this.#watch !== null) clearInterval(this.#watch);
    this.#watch = null;
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
    opened.endsByItself = true;
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
    this.#stopWatching();
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
  endsByItself = false;
  readonly #session: WeakRef<Session>;
  #seen: PhysicalTransaction | null = null;
  #isTold = false;

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

  /** The transaction that is open since the last time that this was asked; each is given once. */
  late(): PhysicalTransaction | null {
    const transaction = this.session?.transaction ?? null;
    if (transaction !== this.#seen) {
      this.#seen = transaction;
      this.#isTold = false;
      return null;
    }
    if (transaction === null || !transaction.begun || this.#isTold) return null;
    this.#isTold = true;
    return transaction;
  }
}
