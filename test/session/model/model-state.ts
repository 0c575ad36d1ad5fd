import type { Kind } from './kinds.js';

/** One object of the model, whatever has become of it. */
export class Rec {
  /** The object itself; null while no session has loaded it. */
  entity: Record<string, unknown> | null = null;
  status: 'transient' | 'pending' | 'persistent' | 'deleted' | 'detached' = 'transient';
  isMarked = false;
  /** Reachable from a persistent object, so that the next flush adds it. */
  isReachable = false;
  key: string | undefined;
  /** What the object's properties hold, as texts; the version stands behind the scalars. */
  values: (string | null)[] = [];
  /** Foreign keys as the object shows them; undefined where not loaded. */
  refs: (Rec | null | undefined)[];
  /** What the user has set there. */
  userRefs: (Rec | null | undefined)[];
  /** What a flush has put there last on behalf of the other side, and what the user had set before. */
  puts: (Put | undefined)[];
  arrays: (Loaded | undefined)[];
  /** The row as the session last saw it. */
  base: (string | null)[] | null = null;
  /** Parents by foreign key that only a collection has told of yet. */
  readonly claims = new Map<number, Rec>();
  /** Values known to be committed that were read in the running unit of work. */
  readonly seen: (readonly (string | null)[])[] = [];
  isExpired = false;
  /** A collection of it was loaded in the running unit of work. */
  isReloaded = false;
  readIn = -1;

  constructor(
    readonly n: number,
    readonly kind: Kind,
  ) {
    this.refs = kind.refs.map(() => undefined);
    this.userRefs = kind.refs.map(() => undefined);
    this.puts = kind.refs.map(() => undefined);
    this.arrays = kind.collections.map(() => undefined);
  }

  get isLive(): boolean {
    return this.entity !== null && !this.isMarked && (this.status === 'pending' || this.status === 'persistent');
  }

  get name(): string {
    return `${this.kind.name} #${this.n}`;
  }

  /** The properties as texts, read off the object. */
  read(): (string | null)[] {
    const { entity, kind } = this;
    const values = kind.scalars.map((scalar) => {
      const value = scalar.get(entity as never);
      return value === undefined ? 'undefined' : scalar.text(value as never);
    });
    return kind.isVersioned ? [...values, String(entity!.version)] : values;
  }

  get isChanged(): boolean {
    return this.base !== null && this.kind.scalars.some((_, at) => this.values[at] !== this.base![at]);
  }
}

interface Put {
  readonly put: Rec | null | undefined;
  readonly before: Rec | null | undefined;
}

/** A loaded collection: the very array, and what it holds. */
export interface Loaded {
  readonly array: unknown[];
  items: Rec[];
}

/** A row: values as texts with the version behind them, and what its foreign keys refer to. */
export interface Row {
  readonly values: readonly (string | null)[];
  readonly refs: readonly (Rec | null)[];
}

/** What a database holds. */
export class Stored {
  constructor(
    readonly rows = new Map<Rec, Row>(),
    readonly links = new Map<string, [Rec, Rec]>(),
  ) {}

  copy(): Stored {
    return new Stored(new Map(this.rows), new Map(this.links));
  }

  static link(path: string, a: Rec, b: Rec): string {
    return `${a.kind.name}.${path} ${a.n} ${b.n}`;
  }

  /** The rows that a collection shows. */
  children(owner: Rec, at: number): Rec[] {
    const collection = owner.kind.collections[at]!;
    if (collection.ref !== undefined) {
      return [...this.rows].flatMap(([rec, row]) => {
        if (rec.kind.name !== collection.of) return [];
        const ref = rec.kind.refs.findIndex(({ path }) => path === collection.ref);
        return row.refs[ref] === owner ? [rec] : [];
      });
    }
    const owns = collection.owns === true;
    const path = owns ? collection.path : collection.other!;
    const kind = owns ? owner.kind.name : collection.of;
    return [...this.links].flatMap(([name, [a, b]]) => {
      if (!name.startsWith(`${kind}.${path} `)) return [];
      return owns ? (a === owner ? [b] : []) : b === owner ? [a] : [];
    });
  }

  /** The lines that `ALL_ROWS` should give. */
  lines(): string[] {
    const rows = [...this.rows].map(([rec, row]) =>
      JSON.stringify([rec.kind.name, rec.key, row.values, row.refs.map((other) => other?.key ?? null)]),
    );
    const links = [...this.links].map(([name, [a, b]]) =>
      JSON.stringify([name.slice(0, name.indexOf(' ')), a.key, [b.key], []]),
    );
    return [...rows, ...links].sort();
  }
}

interface SavedRec {
  readonly status: Rec['status'];
  readonly isMarked: boolean;
  readonly values: readonly (string | null)[];
  readonly refs: readonly (Rec | null | undefined)[];
  readonly userRefs: readonly (Rec | null | undefined)[];
  readonly puts: readonly (Put | undefined)[];
  readonly arrays: readonly (Loaded | undefined)[];
  readonly base: readonly (string | null)[] | null;
  readonly key: string | undefined;
}

/** How all objects stood at one moment. */
export class Memory {
  readonly saved = new Map<Rec, SavedRec>();

  constructor(recs: readonly Rec[]) {
    for (const rec of recs) if (rec.entity !== null && rec.status !== 'transient') this.keep(rec);
  }

  keep(rec: Rec): void {
    this.saved.set(rec, {
      status: rec.status,
      isMarked: rec.isMarked,
      values: [...rec.values],
      refs: [...rec.refs],
      userRefs: [...rec.userRefs],
      puts: [...rec.puts],
      arrays: rec.arrays.map((loaded) => loaded && { array: loaded.array, items: [...loaded.items] }),
      base: rec.base === null ? null : [...rec.base],
      key: rec.key,
    });
  }
}
