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
  readonly #open = new Map<DbSession, Session>();

  /** @internal Made by the module. */
  constructor(source: SessionSource) {
    this.#source = source;
  }

  /**
   * Opens a session that belongs to no request and no scope.
   * @returns the session; close it, or hold it with `await using`
   */
  open(options: SessionOptions = {}): DbSession {
    const session = this.#source.open(options);
    const handle = this.#source.handleOf(session);
    this.#open.set(handle, session);
    return handle;
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
    this.#open.set(handle, session);
    try {
      return await commitOnSuccess(session, options, () => fn(handle));
    } finally {
      this.#open.delete(handle);
      await session.context.close();
    }
  }

  /** Closes every session that this factory opened: rolls back what is open, empties them. */
  async closeAll(): Promise<void> {
    for (const [handle, session] of [...this.#open]) {
      this.#open.delete(handle);
      await session.context.close();
    }
  }

  /**
   * Listens to an event of all sessions of the data source, injected ones included.
   * @returns a function that ends the listening
   */
  on<K extends SessionEventName>(name: K, listener: SessionListener<K>): () => void {
    return this.#source.listeners.on(name, listener);
  }
}
