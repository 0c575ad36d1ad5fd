import { StaleDataError } from '../../../libs/uow/src/errors/flush-errors.js';
import type { DbSession } from '../../../libs/uow/src/session/db-session.js';
import type { SessionTransaction } from '../../../libs/uow/src/session/session-transaction.js';
import type { SessionUnderTest } from '../session-under-test.js';
import { ALL_ROWS, EMPTY, KINDS, kindNamed } from './kinds.js';
import type { Kind } from './kinds.js';
import { Memory, Rec, Stored } from './model-state.js';

/** One step: what to do, and numbers that choose with whom. */
export type Step = readonly [operation: Operation, a: number, b: number, c: number];

export type Operation =
  | 'create'
  | 'createInCollection'
  | 'change'
  | 'point'
  | 'move'
  | 'link'
  | 'delete'
  | 'addAgain'
  | 'flush'
  | 'savepoint'
  | 'release'
  | 'rollbackTo'
  | 'commit'
  | 'rollback'
  | 'expire'
  | 'find'
  | 'get'
  | 'load'
  | 'count'
  | 'rival'
  | 'reopen';

const ROWS: readonly Step[] = [
  ...[0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8].map((kind, at): Step => ['create', kind, at * 7, at]),
  ['commit', 0, 0, 0],
];

const COLLECTIONS: readonly Step[] = [
  ...[0, 1, 2, 4, 5].map((kind): Step => ['load', kind, 0, 0]),
  ['load', 2, 1, 0],
  ['load', 4, 1, 0],
];

/** Rows to begin with: two of each entity, committed, and their collections loaded. */
export const PRELUDE: readonly Step[] = [...ROWS, ...COLLECTIONS];

/** The same rows in a session that has only read them, so that no foreign key's own side is loaded. */
export const PRELUDE_OF_READS: readonly Step[] = [
  ...ROWS,
  ['reopen', 0, 0, 0],
  ...KINDS.map((_, kind): Step => ['find', kind, 0, 0]),
  ...COLLECTIONS,
];

/**
 * A session and a model of it, side by side. The model keeps what each object must show and what the database must
 * hold, in plain maps; after every step the objects are compared with it, and after every COMMIT the database.
 */
export class SessionModel {
  readonly recs: Rec[] = [];
  /** How often each operation really did something. */
  readonly done = new Map<string, number>();
  #session: DbSession;
  #committed = new Stored();
  /** What the session's transaction sees. */
  #view = new Stored();
  #savepoints: { readonly handle: SessionTransaction; memory: Memory; readonly view: Stored }[] = [];
  #unit = new Memory([]);
  /** True once something was changed in the running unit of work. */
  #hasBegun = false;
  readonly #written = new Set<Rec>();
  #transactions = 0;
  #next = 1;
  /** What was done, for the message of a failure. */
  readonly #trail: string[] = [];

  constructor(readonly env: SessionUnderTest) {
    this.#session = env.factory.open();
  }

  static async empty(env: SessionUnderTest): Promise<void> {
    await env.database.query(EMPTY);
  }

  async run(steps: readonly Step[]): Promise<void> {
    try {
      for (const step of steps) {
        await this.#step(step);
        this.#verify();
      }
      await this.#step(['rollback', 0, 0, 0]);
      this.#verify();
      await this.#readAll();
      await this.#compareDatabase();
    } catch (error) {
      const { message } = error as Error;
      throw new Error(`${message}\nafter:\n${this.#trail.join('\n')}`, { cause: error });
    } finally {
      await this.#session.close();
    }
  }

  async #step([operation, a, b, c]: Step): Promise<void> {
    const before = this.#trail.length;
    this.#trail.push(operation);
    const isDone = await this[operation](a, b, c);
    if (isDone === false) this.#trail.splice(before, 1);
    if (isDone !== false) this.done.set(operation, (this.done.get(operation) ?? 0) + 1);
  }

  // ── objects ───────────────────────────────────────────────────────────────────────────────────────────

  create(a: number, b: number, c: number): boolean {
    const rec = this.#new(a, b, c);
    if (rec === null) return false;
    this.#session.add(rec.entity!);
    this.#added(rec);
    return true;
  }

  /** `add` takes along what is reachable. */
  #added(first: Rec): void {
    const queue = [first];
    for (const rec of queue) {
      if (rec === first || rec.isReachable) {
        rec.status = 'pending';
        rec.isReachable = false;
      }
      const reached = [...rec.refs, ...rec.arrays.flatMap((loaded) => loaded?.items ?? [])];
      for (const other of reached) if (other != null && !queue.includes(other)) queue.push(other);
    }
    this.#hasBegun = true;
  }

  createInCollection(a: number, b: number, c: number): boolean {
    const owners = this.#live().flatMap((rec) =>
      rec.kind.collections.flatMap((collection, at) =>
        collection.ref !== undefined && rec.arrays[at] !== undefined && rec.status === 'persistent'
          ? [{ rec, at }]
          : [],
      ),
    );
    const owner = pick(owners, a);
    if (owner === undefined) return false;
    const collection = owner.rec.kind.collections[owner.at]!;
    const rec = this.#new(KINDS.indexOf(kindNamed(collection.of)), b, c, collection.ref);
    if (rec === null) return false;
    const loaded = owner.rec.arrays[owner.at]!;
    loaded.array.push(rec.entity);
    loaded.items.push(rec);
    rec.claims.set(refIndex(rec, collection.ref!), owner.rec);
    this.#note(`into ${owner.rec.name}.${collection.path}`);
    rec.isReachable = true;
    this.#hasBegun = true;
    return true;
  }

  #new(a: number, b: number, c: number, except?: string): Rec | null {
    const kind = KINDS[a % KINDS.length]!;
    const rec = new Rec(this.recs.length, kind);
    const refs = kind.refs.map((ref, at) => {
      if (ref.path === except) return undefined;
      const wanted = (b >> at) % 3;
      if (ref.nullable && wanted !== 0) return wanted === 1 ? null : undefined;
      return this.#referable(rec, at, c + at) ?? (ref.nullable ? null : undefined);
    });
    if (kind.refs.some((ref, at) => !ref.nullable && ref.path !== except && refs[at] === undefined)) return null;
    const entity = new kind.target() as Record<string, unknown>;
    rec.entity = entity;
    kind.giveKey?.(entity as never, this.#next++);
    for (const scalar of kind.scalars) scalar.set(entity as never, this.#next++);
    kind.refs.forEach((ref, at) => {
      if (refs[at] !== undefined) entity[ref.path] = refs[at]?.entity ?? null;
    });
    rec.refs = refs;
    rec.userRefs = [...refs];
    rec.values = rec.read();
    this.recs.push(rec);
    this.#note(`${rec.name} ${kind.refs.map((ref, at) => `${ref.path}: ${shownRef(refs[at])}`).join(', ')}`);
    return rec;
  }

  #note(what: string): void {
    this.#trail.push(`  ${what}`);
  }

  /** An object that a foreign key may come to refer to. */
  #referable(rec: Rec, at: number, c: number): Rec | undefined {
    const ref = rec.kind.refs[at]!;
    let candidates = this.#live(ref.to);
    if (ref.to === rec.kind.name && rec.entity !== null && rec.isLive && c % 4 === 0) candidates = [...candidates, rec];
    if (ref.unique === true) {
      const taken = new Set(
        this.recs.flatMap((one) => (one.kind === rec.kind ? [this.#view.rows.get(one)?.refs[at], one.refs[at]] : [])),
      );
      candidates = candidates.filter((one) => !taken.has(one));
    }
    return pick(candidates, c);
  }

  change(a: number, b: number): boolean {
    const rec = pick(this.#live(), a);
    if (rec === undefined) return false;
    const scalar = rec.kind.scalars[b % rec.kind.scalars.length]!;
    scalar.set(rec.entity as never, this.#next++);
    rec.values = rec.read();
    this.#note(`${rec.name}.${scalar.name}`);
    this.#hasBegun = true;
    return true;
  }

  point(a: number, b: number, c: number): boolean {
    const rec = pick(
      this.#live().filter((one) => one.kind.refs.length > 0),
      a,
    );
    if (rec === undefined) return false;
    const at = b % rec.kind.refs.length;
    const ref = rec.kind.refs[at]!;
    if (rec.claims.has(at)) return false;
    const other = ref.nullable && c % 4 === 0 ? null : this.#referable(rec, at, c);
    if (other === undefined || other === rec.refs[at]) return false;
    rec.entity![ref.path] = other?.entity ?? null;
    rec.refs[at] = rec.userRefs[at] = other;
    this.#note(`${rec.name}.${ref.path} = ${String(other?.name)}`);
    this.#hasBegun = true;
    return true;
  }

  /** Moves a child from one collection to another, or out of one. */
  move(a: number, b: number, c: number): boolean {
    const owners = this.#live().flatMap((rec) =>
      rec.kind.collections.flatMap((collection, at) =>
        collection.ref !== undefined && rec.arrays[at] !== undefined ? [{ rec, at, collection }] : [],
      ),
    );
    const to = pick(owners, a);
    if (to === undefined) return false;
    const ref = kindNamed(to.collection.of).refs.findIndex(({ path }) => path === to.collection.ref);
    const children = this.#live(to.collection.of).filter((one) => {
      if (one.claims.has(ref) || one.status === 'pending') return false;
      const stored = this.#view.rows.get(one)?.refs[ref] ?? null;
      return stored !== to.rec && (one.refs[ref] === undefined || one.refs[ref] === stored);
    });
    const child = pick(children, b);
    if (child === undefined) return false;
    const from = owners.find(
      ({ rec, at }) => rec.arrays[at]!.items.includes(child) && rec.kind === to.rec.kind && at === to.at,
    );
    if (from !== undefined) take(from.rec.arrays[from.at]!, child);
    const isOut = from !== undefined && c % 4 === 0 && child.kind.refs[ref]!.nullable;
    if (!isOut) {
      to.rec.arrays[to.at]!.array.push(child.entity);
      to.rec.arrays[to.at]!.items.push(child);
    }
    this.#note(
      `${child.name} from ${String(from?.rec.name)} to ${isOut ? 'nobody' : to.rec.name}.${to.collection.path}`,
    );
    child.claims.set(ref, isOut ? NOBODY : to.rec);
    this.#hasBegun = true;
    return true;
  }

  link(a: number, b: number): boolean {
    const owners = this.#live().flatMap((rec) =>
      rec.kind.collections.flatMap((collection, at) =>
        collection.ref === undefined && rec.arrays[at] !== undefined && rec.status === 'persistent'
          ? [{ rec, at, collection }]
          : [],
      ),
    );
    const owner = pick(owners, a);
    if (owner === undefined) return false;
    const { rec, at, collection } = owner;
    const loaded = rec.arrays[at]!;
    const others = this.#live(collection.of).filter((one) => one.status === 'persistent');
    const other = pick(others, b);
    if (other === undefined) return false;
    // One side only: the other side's array must not say otherwise.
    const back = other.kind.collections.findIndex(({ path }) => path === collection.other);
    const isLinked = this.#view.children(rec, at).includes(other);
    if (other.arrays[back] !== undefined && other.arrays[back].items.includes(rec) !== isLinked) return false;
    this.#note(`${rec.name}.${collection.path} ${loaded.items.includes(other) ? '-' : '+'} ${other.name}`);
    if (loaded.items.includes(other)) take(loaded, other);
    else {
      loaded.array.push(other.entity);
      loaded.items.push(other);
    }
    this.#hasBegun = true;
    return true;
  }

  delete(a: number): boolean {
    const isUsed = (rec: Rec): boolean =>
      this.recs.some(
        (one) =>
          (this.#view.rows.has(one) || one.isLive || one.isReachable) &&
          (one.refs.includes(rec) ||
            (this.#view.rows.get(one)?.refs.includes(rec) ?? false) ||
            [...one.claims.values()].includes(rec)),
      ) ||
      [...this.#view.links.values()].some((pair) => pair.includes(rec)) ||
      rec.arrays.some((loaded) => (loaded?.items.length ?? 0) > 0) ||
      this.recs.some((one) =>
        one.kind.collections.some(
          (collection, at) => collection.ref === undefined && one.arrays[at]?.items.includes(rec),
        ),
      );
    const rec = pick(
      this.#live().filter((one) => one.status === 'persistent' && one.claims.size === 0 && !isUsed(one)),
      a,
    );
    if (rec === undefined) return false;
    this.#session.delete(rec.entity!);
    this.#note(rec.name);
    rec.isMarked = true;
    this.#hasBegun = true;
    return true;
  }

  /** Adds an object again that a rollback has made transient. */
  addAgain(a: number): boolean {
    const rec = pick(
      this.recs.filter(
        (one) =>
          one.entity !== null &&
          one.status === 'transient' &&
          !one.isReachable &&
          one.arrays.every((loaded) => loaded === undefined) &&
          one.kind.refs.every((ref, at) =>
            one.refs[at] == null ? ref.nullable : one.refs[at].isLive && ref.unique !== true,
          ),
      ),
      a,
    );
    if (rec === undefined) return false;
    this.#session.add(rec.entity!);
    this.#added(rec);
    this.#note(rec.name);
    return true;
  }

  // ── transactions ──────────────────────────────────────────────────────────────────────────────────────

  async flush(): Promise<boolean> {
    return this.#flushing(() => this.#session.flush());
  }

  async savepoint(): Promise<boolean> {
    if (this.#savepoints.length >= 4) return false;
    let handle: SessionTransaction | undefined;
    const isFlushed = await this.#flushing(async () => {
      handle = await this.#session.beginNested();
    });
    if (isFlushed) {
      this.#savepoints.push({ handle: handle!, memory: new Memory(this.recs), view: this.#view.copy() });
    }
    return isFlushed;
  }

  async release(): Promise<boolean> {
    const savepoint = this.#savepoints.at(-1);
    if (savepoint === undefined) return false;
    if (!(await this.#flushing(() => savepoint.handle.commit()))) return false;
    this.#savepoints.pop();
    return true;
  }

  async rollbackTo(a: number): Promise<boolean> {
    const at = this.#savepoints.length - 1 - (a % 3 === 0 ? a % (this.#savepoints.length || 1) : 0);
    if (at < 0) return false;
    // Inner ones first, as nested blocks end.
    while (this.#savepoints.length > at) {
      const { handle, memory, view } = this.#savepoints.pop()!;
      await handle.rollback();
      this.#view = view;
      this.#restore(memory);
      this.#verify();
    }
    return true;
  }

  async commit(): Promise<boolean> {
    const isCommitted = await this.#flushing(() => this.#session.commit(), true);
    if (!isCommitted) return false;
    this.#committed = this.#view.copy();
    for (const rec of this.recs) if (rec.status === 'deleted') rec.status = 'detached';
    this.#beginUnit();
    await this.#compareDatabase();
    return true;
  }

  async rollback(): Promise<boolean> {
    await this.#session.rollback();
    this.#rolledBack();
    return true;
  }

  async reopen(): Promise<boolean> {
    if (this.#session.inTransaction || this.#hasBegun) return false;
    await this.#session.close();
    this.#session = this.env.factory.open();
    this.recs.splice(0, this.recs.length, ...[...this.#committed.rows.keys()]);
    for (const rec of this.recs) {
      rec.entity = null;
      rec.refs = rec.kind.refs.map(() => undefined);
      rec.userRefs = rec.kind.refs.map(() => undefined);
      rec.arrays = rec.kind.collections.map(() => undefined);
      rec.base = null;
    }
    this.#beginUnit();
    return true;
  }

  #beginUnit(): void {
    this.#savepoints = [];
    this.#written.clear();
    this.#hasBegun = false;
    this.#transactions += 1;
    for (const rec of this.recs) {
      rec.isExpired = true;
      rec.isReloaded = false;
      rec.puts.fill(undefined);
      rec.seen.length = 0;
    }
    this.#unit = new Memory(this.recs);
  }

  #rolledBack(): void {
    this.#view = this.#committed.copy();
    this.#restore(this.#unit);
    this.#beginUnit();
  }

  /**
   * Runs something that flushes first, and does to the model what the flush does.
   * @returns false where the flush met a stale row, as the model says it had to; it is rolled back then
   */
  async #flushing(work: () => Promise<unknown>, endsTransaction = false): Promise<boolean> {
    const stale = this.#staleRows();
    if (stale.length === 0) {
      await work();
      this.#flushed();
      return true;
    }
    let failure: unknown = null;
    await work().catch((error: unknown) => {
      failure = error;
    });
    if (!(failure instanceof StaleDataError)) {
      throw new Error(`${stale.map(({ name }) => name).join(', ')} stale, and the flush said ${String(failure)}`);
    }
    const savepoint = endsTransaction ? undefined : this.#savepoints.pop();
    this.done.set('stale', (this.done.get('stale') ?? 0) + 1);
    if (savepoint === undefined) {
      if (!endsTransaction) await this.#session.rollback();
      this.#rolledBack();
    } else {
      await savepoint.handle.rollback();
      this.#view = savepoint.view;
      this.#restore(savepoint.memory);
    }
    return false;
  }

  /** Changed objects whose rows the rival has changed where it matters. */
  #staleRows(): Rec[] {
    return this.recs.filter((rec) => {
      const row = this.#view.rows.get(rec);
      if (row === undefined || rec.entity === null || rec.status !== 'persistent') return false;
      const version = rec.kind.isVersioned ? rec.kind.scalars.length : -1;
      if (
        version !== -1 &&
        (rec.isMarked || rec.isChanged || this.#newRefs(rec, row).some((ref, at) => ref !== row.refs[at]))
      ) {
        return row.values[version] !== rec.base![version];
      }
      if (rec.isMarked) return false;
      return rec.kind.scalars.some((_, at) => rec.values[at] !== rec.base![at] && row.values[at] !== rec.base![at]);
    });
  }

  #newRefs(rec: Rec, row: { readonly refs: readonly (Rec | null)[] } | undefined): (Rec | null)[] {
    return rec.kind.refs.map((_, at) => {
      const claim = rec.claims.get(at);
      if (claim !== undefined) return claim === NOBODY ? null : claim;
      return rec.refs[at] === undefined ? (row?.refs[at] ?? null) : (rec.refs[at] ?? null);
    });
  }

  #flushed(): void {
    const collections: [Rec, number, Rec[]][] = [];
    for (const rec of this.recs) {
      if (!rec.isLive && !rec.isReachable) continue;
      rec.arrays.forEach((loaded, at) => {
        if (loaded !== undefined && rec.kind.collections[at]!.ref === undefined)
          collections.push([rec, at, loaded.items]);
      });
    }
    for (const rec of this.recs) {
      if (rec.entity === null) continue;
      const row = this.#view.rows.get(rec);
      if (rec.isMarked) {
        rec.isMarked = false;
        rec.status = 'deleted';
        this.#view.rows.delete(rec);
        this.#written.add(rec);
        continue;
      }
      if (!rec.isLive && !rec.isReachable) continue;
      const refs = this.#newRefs(rec, row);
      const version = rec.kind.isVersioned ? rec.kind.scalars.length : -1;
      if (row === undefined) {
        rec.status = 'persistent';
        rec.isReachable = false;
        rec.key = rec.kind.keyOf(rec.entity as never);
        rec.readIn = this.#transactions;
        expect(rec.key).toBeDefined();
        if (version !== -1) rec.values[version] = '1';
      } else {
        const isWritten = rec.isChanged || refs.some((ref, at) => ref !== row.refs[at]);
        if (!isWritten) continue;
        if (version !== -1) rec.values[version] = String(Number(row.values[version]) + 1);
      }
      // Only what changed is written: the rest of the row may be the rival's.
      const values = rec.values.map((value, at) =>
        row === undefined || value !== rec.base![at] ? value! : row.values[at]!,
      );
      this.#view.rows.set(rec, {
        values: values.map((value, at) =>
          rec.values[at] === null && (row === undefined || rec.base![at] !== null) ? null : value,
        ),
        refs,
      });
      this.#written.add(rec);
      rec.base = [...rec.values];
    }
    this.#linkAll(collections);
    for (const rec of this.recs) this.#settle(rec);
  }

  #linkAll(collections: readonly [Rec, number, Rec[]][]): void {
    const before = this.#view.copy();
    for (const [rec, at, items] of collections) {
      const collection = rec.kind.collections[at]!;
      const stored = before.children(rec, at);
      const path = collection.owns === true ? collection.path : collection.other!;
      const link = (other: Rec): [string, [Rec, Rec]] => {
        const pair: [Rec, Rec] = collection.owns === true ? [rec, other] : [other, rec];
        return [Stored.link(path, ...pair), pair];
      };
      const base = this.#lastItems.get(rec)?.[at] ?? stored;
      for (const item of items) if (!base.includes(item)) this.#view.links.set(...link(item));
      for (const item of base) if (!items.includes(item)) this.#view.links.delete(link(item)[0]);
    }
  }

  /** What collections over join tables held when last flushed or loaded. */
  readonly #lastItems = new Map<Rec, (Rec[] | undefined)[]>();

  /** Both sides of a relation say the same after a flush; what was not loaded may stay so. */
  #settle(rec: Rec): void {
    const row = this.#view.rows.get(rec);
    if (row === undefined || rec.entity === null || rec.status !== 'persistent') return;
    const told = new Set(rec.claims.keys());
    rec.claims.clear();
    rec.kind.refs.forEach((ref, at) => {
      const shown = rec.entity![ref.path];
      if (rec.refs[at] === undefined && shown === undefined && !told.has(at)) return;
      if (rec.refs[at] !== row.refs[at]) rec.puts[at] = { put: row.refs[at], before: rec.userRefs[at] };
      rec.refs[at] = row.refs[at];
    });
    rec.arrays.forEach((loaded, at) => {
      if (loaded === undefined) return;
      const shown = (loaded.array as object[]).map((entity) => this.#recOf(entity));
      const kept = shown.filter((one) => one.status !== 'deleted' && one.status !== 'detached');
      expect(names(kept)).toEqual(names(this.#view.children(rec, at)));
      loaded.items = shown;
    });
    this.#lastItems.set(
      rec,
      rec.arrays.map((loaded) => loaded && [...loaded.items]),
    );
  }

  #restore(memory: Memory): void {
    for (const rec of this.recs) {
      if (rec.entity === null) continue;
      const saved = memory.saved.get(rec);
      rec.claims.clear();
      rec.isReachable = false;
      rec.isMarked = false;
      if (saved === undefined) {
        if (rec.status === 'transient') continue;
        rec.status = 'transient';
        rec.base = null;
        // Set to what a flush had put there: that is taken for the flush's.
        rec.userRefs = rec.userRefs.map((ref, at) => {
          const last = rec.puts[at];
          return last !== undefined && ref === last.put ? last.before : ref;
        });
        rec.refs = [...rec.userRefs];
        rec.puts = rec.kind.refs.map(() => undefined);
        rec.arrays = rec.kind.collections.map(() => undefined);
        for (const { path } of rec.kind.collections)
          expect([rec.name, path, rec.entity[path]]).toEqual([rec.name, path, undefined]);
        if (rec.kind.isVersioned) rec.values[rec.kind.scalars.length] = 'undefined';
        if (rec.kind.giveKey === undefined) {
          expect([rec.name, rec.kind.keyOf(rec.entity as never)]).toEqual([rec.name, undefined]);
        }
        for (const generated of ['updatedAt', 'createdAt']) expect(rec.entity[generated]).toBeUndefined();
        continue;
      }
      const isOwn = this.#written.has(rec);
      const shown = rec.read();
      const known = [saved.base ?? saved.values, ...(isOwn ? [] : rec.seen)];
      if (saved.status === 'pending') rec.values = [...saved.values];
      else {
        rec.values = [...(known.find((values) => JSON.stringify(values) === JSON.stringify(shown)) ?? saved.values)];
        rec.base = [...rec.values];
      }
      rec.status = saved.status;
      rec.key = saved.key;
      rec.userRefs = [...saved.userRefs];
      rec.puts = [...saved.puts];
      rec.refs = saved.refs.map((ref, at) => {
        // Loaded since: it may stay where it shows what is stored.
        if (ref !== undefined || rec.entity![rec.kind.refs[at]!.path] === undefined) return ref;
        return this.#view.rows.get(rec)?.refs[at];
      });
      rec.arrays = saved.arrays.map((loaded, at) => {
        if (loaded !== undefined) {
          if (!rec.isReloaded) return { array: loaded.array, items: [...loaded.items] };
          // Read again since: a read of what is committed need not be taken back, neither its order nor that it no
          // longer shows what was deleted before.
          const place = (one: Rec): number => loaded.array.indexOf(one.entity);
          const items = loaded.items.filter((one) => place(one) !== -1 || this.#view.rows.has(one));
          items.sort((one, other) => place(one) - place(other));
          return { array: loaded.array, items };
        }
        const array = rec.entity![rec.kind.collections[at]!.path] as object[] | undefined;
        if (array === undefined) return undefined;
        const items = array.map((entity) => this.#recOf(entity));
        expect(names(items)).toEqual(names(this.#view.children(rec, at)));
        return { array, items };
      });
      this.#lastItems.set(
        rec,
        rec.arrays.map((loaded) => loaded && [...loaded.items]),
      );
    }
  }

  // ── reading ───────────────────────────────────────────────────────────────────────────────────────────

  expire(a: number): boolean {
    const { expireAll, expire } = this.#session as { expireAll?: () => void; expire?: (entity: object) => void };
    if (expireAll === undefined || expire === undefined || this.#savepoints.length > 0 || this.#hasBegun) return false;
    const rec = pick(this.#live(), a);
    if (a % 2 === 0 || rec === undefined) {
      expireAll.call(this.#session);
      for (const one of this.recs) one.isExpired = true;
    } else {
      expire.call(this.#session, rec.entity!);
      rec.isExpired = true;
    }
    return true;
  }

  async find(a: number): Promise<boolean> {
    const kind = KINDS[a % KINDS.length]!;
    let found: object[] = [];
    const isFlushed = await this.#flushing(async () => {
      found = await this.#session.find(kind.target);
    });
    if (!isFlushed) return false;
    const expected = [...this.#view.rows.keys()].filter((rec) => rec.kind === kind);
    const recs = found.map((entity) => this.#absorb(kind, entity));
    expect(names(recs)).toEqual(names(expected));
    return true;
  }

  async get(a: number): Promise<boolean> {
    if (!(await this.flush())) return false;
    const rec = pick([...this.#view.rows.keys()], a);
    if (rec === undefined) return false;
    const key = rec.entity === null ? idFromKey(rec) : rec.kind.idOf(rec.entity as never);
    const entity = await this.#session.get(rec.kind.target, key);
    expect(entity).not.toBeNull();
    expect(this.#absorb(rec.kind, entity!)).toBe(rec);
    return true;
  }

  async load(a: number, b: number): Promise<boolean> {
    const kind = KINDS[a % KINDS.length]!;
    const paths = [...kind.collections, ...kind.refs];
    const path = pick(paths, b)?.path;
    const owners = this.#live(kind.name).filter((rec) => rec.status === 'persistent');
    if (path === undefined || owners.length === 0) return false;
    const isFlushed = await this.#flushing(() =>
      this.#session.load(
        owners.map((rec) => rec.entity!),
        { relations: [path] },
      ),
    );
    if (!isFlushed) return false;
    const other = paths.find((one) => one.path === path)!;
    this.#note(`${kind.name}.${path}`);
    const otherKind = kindNamed('to' in other ? other.to : other.of);
    for (const rec of owners) {
      if (!rec.isLive) continue;
      const value = rec.entity![path];
      if ('to' in other) {
        const at = kind.refs.indexOf(other);
        rec.refs[at] = value === null ? null : this.#absorb(otherKind, value as object, false);
        expect([rec.name, rec.refs[at]?.name ?? null]).toEqual([
          rec.name,
          this.#view.rows.get(rec)!.refs[at]?.name ?? null,
        ]);
        continue;
      }
      const at = kind.collections.indexOf(other);
      const items = (value as object[]).map((entity) => this.#absorb(otherKind, entity, false));
      if (rec.arrays[at] !== undefined) expect(value).toBe(rec.arrays[at].array);
      rec.arrays[at] = { array: value as unknown[], items };
      this.#lastItems.set(
        rec,
        rec.arrays.map((loaded) => loaded && [...loaded.items]),
      );
      const alive = items.filter((one) => this.#view.rows.has(one));
      expect([rec.name, path, names(alive)]).toEqual([rec.name, path, names(this.#view.children(rec, at))]);
      rec.isReloaded = true;
    }
    // Nothing was changed yet: what a rollback goes back to is what was read last.
    if (!this.#hasBegun) {
      this.#unit = new Memory(this.recs);
      for (const savepoint of this.#savepoints) savepoint.memory = new Memory(this.recs);
    }
    return true;
  }

  async count(a: number): Promise<boolean> {
    const kind = KINDS[a % KINDS.length]!;
    let counted = -1;
    const isFlushed = await this.#flushing(async () => {
      const [row] = await this.#session.execute<{ n: number }>(`SELECT count(*)::int AS n FROM ${kind.table}`, [], {
        readOnly: true,
      });
      counted = row!.n;
    });
    if (isFlushed) expect(counted).toBe([...this.#view.rows.keys()].filter((rec) => rec.kind === kind).length);
    return isFlushed;
  }

  /** Another connection changes a row that this transaction has not locked. */
  async rival(a: number, b: number): Promise<boolean> {
    const free = [...this.#committed.rows.keys()].filter((one) => !this.#written.has(one));
    // Mostly where it hurts: a value that is about to be written.
    const contended = free.filter((one) => one.isChanged && this.#view.rows.has(one));
    const rec = pick(contended.length > 0 && a % 4 !== 0 ? contended : free, a);
    if (rec === undefined) return false;
    const changed = rec.kind.scalars.findIndex((_, index) => rec.isChanged && rec.values[index] !== rec.base![index]);
    const at = changed !== -1 && b % 3 !== 0 ? changed : b % rec.kind.scalars.length;
    const scalar = rec.kind.scalars[at]!;
    const n = this.#next++;
    this.#note(`${rec.name}.${scalar.name}`);
    const counted = rec.kind.isVersioned ? ', version = version + 1' : '';
    await this.env.database.query(
      `UPDATE ${rec.kind.table} SET ${scalar.rival(n)}${counted} WHERE ${rec.kind.keySql} = $1`,
      [rec.key],
    );
    const [stored] = await this.env.database.query<{ value: string | null }>(
      `SELECT ${scalar.sql} AS value FROM ${rec.kind.table} WHERE ${rec.kind.keySql} = $1`,
      [rec.key],
    );
    for (const side of [this.#committed, this.#view, ...this.#savepoints.map(({ view }) => view)]) {
      const row = side.rows.get(rec)!;
      const values = [...row.values];
      values[at] = stored!.value;
      if (rec.kind.isVersioned) values[values.length - 1] = String(Number(values.at(-1)) + 1);
      side.rows.set(rec, { ...row, values });
    }
    return true;
  }

  /**
   * The object of a row: known already, or loaded for the first time.
   * @param isRead false where a relation was loaded already, so that nothing need have been read
   */
  #absorb(kind: Kind, entity: object, isRead = true): Rec {
    // What was deleted stays in a loaded collection until that is read again.
    const gone = this.recs.find((one) => one.entity === entity && !this.#view.rows.has(one));
    if (gone !== undefined && (gone.status === 'deleted' || gone.status === 'detached')) return gone;
    const key = kind.keyOf(entity as never);
    const rec = this.recs.find((one) => one.kind === kind && one.key === key && this.#view.rows.has(one));
    if (rec === undefined) throw new Error(`A ${kind.name} ${String(key)} that nobody stored`);
    const row = this.#view.rows.get(rec)!;
    if (rec.entity === null) {
      rec.entity = entity as Record<string, unknown>;
      rec.status = 'persistent';
      rec.values = rec.read();
      expect([rec.name, rec.values]).toEqual([rec.name, row.values]);
      rec.base = [...rec.values];
      rec.isExpired = false;
      rec.readIn = this.#transactions;
      this.#unit.keep(rec);
      for (const { memory } of this.#savepoints) memory.keep(rec);
      return rec;
    }
    if (rec.entity !== entity) throw new Error(`Two objects for ${rec.name}`);
    if (rec.isChanged) return rec;
    const shown = rec.read();
    const mustBeFresh = isRead && (rec.isExpired || (this.#written.size > 0 && rec.readIn !== this.#transactions));
    if (mustBeFresh || JSON.stringify(shown) !== JSON.stringify(rec.base)) {
      expect([rec.name, shown]).toEqual([rec.name, row.values]);
      rec.isExpired = false;
      rec.readIn = this.#transactions;
    }
    if (!isRead) {
      // Loading a relation reads the rows of those that it has to look up, and leaves others alone: either is right.
      rec.isExpired = false;
      rec.readIn = this.#transactions;
    }
    // A savepoint's rollback may take a read back, too: both the older and the newer row were committed.
    if (!this.#written.has(rec)) rec.seen.push(rec.base!, shown);
    rec.values = shown;
    rec.base = [...shown];
    if (!this.#hasBegun) this.#unit.keep(rec);
    return rec;
  }

  async #readAll(): Promise<void> {
    for (let at = 0; at < KINDS.length; at++) {
      await this.find(at);
      this.#verify();
    }
  }

  // ── comparing ─────────────────────────────────────────────────────────────────────────────────────────

  #verify(): void {
    for (const rec of this.recs) {
      const { entity, kind } = rec;
      if (entity === null) continue;
      const { state } = this.#session.inspect(entity);
      if (state !== rec.status) throw new Error(`${rec.name} is ${state} instead of ${rec.status}`);
      const shown = rec.read();
      if (JSON.stringify(shown) !== JSON.stringify(rec.values)) {
        throw new Error(`${rec.name} shows ${JSON.stringify(shown)} instead of ${JSON.stringify(rec.values)}`);
      }
      if (rec.status === 'deleted' || rec.status === 'detached') continue;
      kind.refs.forEach(({ path }, at) => {
        const ref = rec.refs[at];
        const wanted = ref === undefined ? undefined : (ref?.entity ?? null);
        if (entity[path] !== wanted) {
          throw new Error(`${rec.name}.${path} is ${this.#nameOf(entity[path])} instead of ${shownRef(ref)}`);
        }
      });
      rec.arrays.forEach((loaded, at) => {
        const { path } = kind.collections[at]!;
        if (loaded === undefined) return;
        if (entity[path] !== loaded.array) throw new Error(`${rec.name}.${path} is not the array that it was`);
        const items = loaded.array.map((item) => this.#nameOf(item));
        const wanted = loaded.items.map(({ name }) => name);
        if (items.join() !== wanted.join()) {
          throw new Error(`${rec.name}.${path} holds ${items.join(', ')} instead of ${wanted.join(', ')}`);
        }
      });
    }
  }

  async #compareDatabase(): Promise<void> {
    const rows = await this.env.database.query<{ kind: string; key: string; vals: string[]; refs: string[] }>(ALL_ROWS);
    const lines = rows.map(({ kind, key, vals, refs }) => JSON.stringify([kind, key, vals, refs])).sort();
    expect(lines).toEqual(this.#committed.lines());
  }

  #live(kind?: string): Rec[] {
    return this.recs.filter((rec) => rec.isLive && (kind === undefined || rec.kind.name === kind));
  }

  #recOf(entity: object): Rec {
    const rec = this.recs.find((one) => one.entity === entity);
    if (rec === undefined) throw new Error(`An object that nobody made: ${entity.constructor.name}`);
    return rec;
  }

  #nameOf(value: unknown): string {
    if (typeof value !== 'object' || value === null) return String(value);
    return this.recs.find((one) => one.entity === value)?.name ?? `an unknown ${value.constructor.name}`;
  }
}

/** Stands for "taken out of its collection". */
const NOBODY = new Rec(-1, KINDS[0]!);

function pick<T>(from: readonly T[], n: number): T | undefined {
  return from[n % from.length];
}

function take(loaded: { readonly array: unknown[]; items: Rec[] }, rec: Rec): void {
  loaded.array.splice(loaded.array.indexOf(rec.entity), 1);
  loaded.items = loaded.items.filter((one) => one !== rec);
}

function shownRef(ref: Rec | null | undefined): string {
  return ref === null || ref === undefined ? String(ref) : ref.name;
}

function names(recs: readonly Rec[]): string[] {
  return recs.map(({ name }) => name).sort();
}

function refIndex(rec: Rec, path: string): number {
  return rec.kind.refs.findIndex((ref) => ref.path === path);
}

/** The id of a row whose object is not loaded. */
function idFromKey(rec: Rec): unknown {
  if (rec.kind.name !== 'Project') return rec.kind.name === 'Company' ? Number(rec.key) : rec.key;
  const at = rec.key!.lastIndexOf('/');
  return { code: rec.key!.slice(0, at), year: Number(rec.key!.slice(at + 1)) };
}
