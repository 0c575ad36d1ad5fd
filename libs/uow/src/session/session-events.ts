import type { ObjectState, StateCause } from './object-state.js';

/** What `session.on` can listen to, and what its listeners get. */
export interface SessionEvents {
  /** BEGIN was answered. */
  afterBegin: { readonly session: unknown };
  /** A flush is about to look for changes; what listeners add, change and delete is part of it. */
  beforeFlush: { readonly session: unknown };
  /**
   * The statements of a flush were answered, and the objects are brought up to them: the session's `new`, `dirty` and
   * `deleted` are empty, and the event has the objects that were written.
   */
  afterFlush: FlushedObjects & { readonly session: unknown };
  /** COMMIT is about to be sent. */
  beforeCommit: { readonly session: unknown };
  /** COMMIT was answered. */
  afterCommit: { readonly session: unknown; readonly changes: CommittedChanges };
  /** The transaction was rolled back; memory is restored. */
  afterRollback: { readonly session: unknown; readonly cause: unknown };
  /** `bulkUpdate` was answered. */
  afterBulkUpdate: BulkEvent;
  /** `bulkDelete` was answered. */
  afterBulkDelete: BulkEvent;
  /** An object went from one state to another. */
  stateChange: StateChange;
}

export interface BulkEvent {
  readonly session: unknown;
  /** Name of the entity. */
  readonly entity: string;
  /** How many rows were written. */
  readonly count: number;
}

export interface StateChange {
  readonly entity: object;
  readonly from: ObjectState;
  readonly to: ObjectState;
  readonly cause: StateCause;
}

/** The objects whose rows one flush has written. What the database itself did with other rows is not among them. */
export interface FlushedObjects {
  readonly inserted: readonly object[];
  readonly updated: readonly object[];
  readonly deleted: readonly object[];
}

/** The net changes of a committed unit of work. */
export interface CommittedChanges {
  readonly inserted: readonly CommittedChange[];
  readonly updated: readonly CommittedChange[];
  readonly deleted: readonly CommittedChange[];
}

export interface CommittedChange {
  readonly entity: object;
  /** Values before, by property; empty for inserted objects. */
  readonly oldValues: Readonly<Record<string, unknown>>;
  /** Values after, by property; empty for deleted objects. */
  readonly newValues: Readonly<Record<string, unknown>>;
}

export type SessionEventName = keyof SessionEvents;
export type SessionListener<K extends SessionEventName> = (event: SessionEvents[K]) => void | Promise<void>;

/** Listeners of one session, in front of those of its factory. */
export class SessionListeners {
  /** Null until somebody listens: hardly a session has listeners of its own, and each is asked for many events. */
  #listeners: Map<SessionEventName, Set<SessionListener<never>>> | null = null;

  constructor(readonly parent: SessionListeners | null = null) {}

  on<K extends SessionEventName>(name: K, listener: SessionListener<K>): () => void {
    const listeners = (this.#listeners ??= new Map<SessionEventName, Set<SessionListener<never>>>());
    let known = listeners.get(name);
    if (known === undefined) listeners.set(name, (known = new Set()));
    known.add(listener);
    return () => known.delete(listener);
  }

  /** True when somebody listens: the event need not be made otherwise. */
  has(name: SessionEventName): boolean {
    if (this.#listeners !== null && (this.#listeners.get(name)?.size ?? 0) > 0) return true;
    return this.parent?.has(name) === true;
  }

  /** Calls the listeners one after another, and waits for each. */
  async emit<K extends SessionEventName>(name: K, event: SessionEvents[K]): Promise<void> {
    for (const listener of this.#all(name)) await listener(event);
  }

  /** Calls the listeners of an event that happens in the middle of synchronous work. */
  emitNow<K extends SessionEventName>(name: K, event: SessionEvents[K]): void {
    for (const listener of this.#all(name)) void listener(event);
  }

  #all<K extends SessionEventName>(name: K): SessionListener<K>[] {
    const own = [...(this.#listeners?.get(name) ?? [])] as unknown as SessionListener<K>[];
    return this.parent === null ? own : [...own, ...this.parent.#all(name)];
  }
}
