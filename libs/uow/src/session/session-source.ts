import type { Database } from '../database/database.js';
import type { EntityMappings } from '../database/entity-mapping.js';
import type { EntityQueries } from '../database/loading.js';
import { NoSessionError } from '../errors/session-errors.js';
import { ambientContext } from '../transaction/ambient.js';
import { TransactionContext } from '../transaction/transaction-context.js';
import type { TransactionOptions } from '../transaction/transaction-definition.js';
import type { TransactionManager } from '../transaction/transaction-manager.js';
import { commitOnSuccess } from './commit-on-success.js';
import { DbSession } from './db-session.js';
import { DbSessionFactory } from './db-session-factory.js';
import { stateOf } from './instance-state.js';
import { KeptShapes } from './kept-shapes.js';
import { SessionListeners } from './session-events.js';
import { Session } from './session.js';
import type { SessionOptions } from './session.js';

/** Where the sessions of one data source come from: one for each context, made at its first use. */
export class SessionSource {
  readonly listeners = new SessionListeners();
  /** What the sessions' own `info` starts with. */
  info: Readonly<Record<string, unknown>> = {};
  /** The session that is injected: it finds the running context's at each use. */
  readonly injected: DbSession;
  readonly factory: DbSessionFactory;
  readonly shapes: KeptShapes;
  readonly #handles = new WeakMap<Session, DbSession>();

  constructor(
    readonly database: Database,
    readonly mappings: EntityMappings,
    readonly queries: EntityQueries,
    readonly manager: TransactionManager,
  ) {
    this.injected = new DbSession(() => this.#ambient());
    this.factory = new DbSessionFactory(this);
    this.shapes = new KeptShapes(mappings);
  }

  /** The session of a context, as users hold it. */
  of(context: TransactionContext): DbSession {
    return this.handleOf(this.#session(context));
  }

  /** The session of a context if it was used already; null otherwise. Makes none. */
  peek(context: TransactionContext): Session | null {
    return context.attachment as Session | null;
  }

  /**
   * Loads a relation for an object that belongs to a session, when TypeORM's lazy property is awaited.
   * @returns what the relation holds; null for an object of no session of this data source
   */
  loadLazily(entity: object, path: string): Promise<unknown> | null {
    const state = stateOf(entity);
    const session = state?.session;
    if (state?.state !== 'persistent' || !(session instanceof Session) || session.context.database !== this.database) {
      return null;
    }
    const relation = state.mapping.relations.find((one) => one.path === path);
    return relation === undefined
      ? null
      : session
          .during('load()', (name) => session.loadRelations(entity, [path], name))
          .then(() => relation.get(entity));
  }

  /** The handle that users hold of a session. */
  handleOf(session: Session): DbSession {
    let handle = this.#handles.get(session);
    if (handle === undefined) {
      handle = new DbSession(() => session);
      this.#handles.set(session, handle);
    }
    return handle;
  }

  /** A session with a context of its own. */
  open(options: SessionOptions): Session {
    const context = new TransactionContext(
      this.database,
      this.manager,
      options.label ?? 'a session of DbSessionFactory',
    );
    return this.#session(context, options);
  }

  /** Runs a function in the session's transaction: the open one, else one of its own. */
  runIn<T>(session: Session, options: TransactionOptions, fn: () => T | Promise<T>): Promise<T> {
    if (ambientContext(this.database) === session.context) {
      return this.manager.run({ ...options, dataSource: this.database.name }, fn);
    }
    return commitOnSuccess(session, options, fn);
  }

  #ambient(): Session {
    const context = ambientContext(this.database);
    if (context === null) {
      throw new NoSessionError(
        `The injected session of data source "${this.database.name}" was used outside every request, message, job and @Transactional() call. ` +
          `Call it inside one, wrap the work in TransactionManager.run(), or open a session with DbSessionFactory.open().`,
      );
    }
    return this.#session(context);
  }

  #session(context: TransactionContext, options?: SessionOptions): Session {
    const known = this.peek(context);
    if (known !== null) return known;
    context.assertOpen('the injected session');
    const session = new Session(this, context, options);
    context.attachment = session;
    return session;
  }
}
