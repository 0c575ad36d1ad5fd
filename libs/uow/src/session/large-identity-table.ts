import type { IdentityKey } from '../database/entity-mapping.js';
import type { InstanceState } from './instance-state.js';

/** The objects of one table by key, in the order in which they came: as much of a `Map` as the identity map needs. */
export interface IdentityTable {
  readonly size: number;
  get(key: IdentityKey): InstanceState | undefined;
  set(key: IdentityKey, state: InstanceState): unknown;
  delete(key: IdentityKey): boolean;
  values(): Iterable<InstanceState>;
  /** @param visit adds no object, and takes none out */
  forEach(visit: (state: InstanceState) => void): void;
}

type Segment = Map<IdentityKey, InstanceState> | Segment[];

/** How many bits of a hash tell which segment a key is in. */
const BITS = 5;
const SEGMENTS = 1 << BITS;
/** After so many divisions a hash has no bits left. */
const DEEPEST = Math.ceil(32 / BITS);

/**
 * An identity table of any size, made of maps that stay small.
 *
 * V8 gives a `Map` of more than 4,096 entries memory of its own, taken from the operating system anew each time the
 * map doubles: an entry then costs several times as much, and most of that is page faults. Here a map that has grown
 * too large is divided, by the next bits of its keys' hashes.
 */
export class LargeIdentityTable implements IdentityTable {
  /** How many entries a map may have whose memory V8 keeps and uses again. */
  static readonly LARGEST_MAP = 4_096;

  readonly #largestMap: number;
  readonly #segments = emptySegments();
  /** A place is empty where its object has been taken out. */
  #inOrder: (InstanceState | undefined)[] = [];
  #size = 0;

  /** @param largestMap how many entries a map may have before it is divided */
  constructor(states: Iterable<InstanceState>, largestMap = LargeIdentityTable.LARGEST_MAP) {
    this.#largestMap = largestMap;
    for (const state of states) this.set(state.key!, state);
  }

  get size(): number {
    return this.#size;
  }

  get(key: IdentityKey): InstanceState | undefined {
    return this.#mapOf(key).get(key);
  }

  set(key: IdentityKey, state: InstanceState): void {
    const map = this.#mapOf(key);
    const known = map.get(key);
    if (known === state) return;
    if (known !== undefined) this.delete(key);
    map.set(key, state);
    if (map.size > this.#largestMap) this.#divide(map, key);
    if (this.#inOrder.length >= 2 * this.#size + SEGMENTS) this.#closeGaps();
    state.place = this.#inOrder.push(state) - 1;
    this.#size++;
  }

  delete(key: IdentityKey): boolean {
    const map = this.#mapOf(key);
    const state = map.get(key);
    if (state === undefined) return false;
    map.delete(key);
    this.#inOrder[state.place] = undefined;
    this.#size--;
    return true;
  }

  *values(): Generator<InstanceState> {
    for (const state of this.#inOrder) if (state !== undefined) yield state;
  }

  forEach(visit: (state: InstanceState) => void): void {
    for (const state of this.#inOrder) if (state !== undefined) visit(state);
  }

  #mapOf(key: IdentityKey): Map<IdentityKey, InstanceState> {
    let hash = hashOf(key);
    let segment = this.#segments[hash & (SEGMENTS - 1)]!;
    while (!(segment instanceof Map)) segment = segment[(hash >>>= BITS) & (SEGMENTS - 1)]!;
    return segment;
  }

  /** Puts segments in the place of a map. */
  #divide(map: Map<IdentityKey, InstanceState>, anyKey: IdentityKey): void {
    let depth = 1;
    let hash = hashOf(anyKey);
    let parent: Segment[] = this.#segments;
    for (let next: Segment; (next = parent[hash & (SEGMENTS - 1)]!) !== map; depth++) {
      parent = next as Segment[];
      hash >>>= BITS;
    }
    if (depth === DEEPEST) return;
    const segments = emptySegments();
    for (const [key, state] of map) segments[(hashOf(key) >>> (depth * BITS)) & (SEGMENTS - 1)]!.set(key, state);
    parent[hash & (SEGMENTS - 1)] = segments;
  }

  #closeGaps(): void {
    this.#inOrder = this.#inOrder.filter((state) => state !== undefined);
    this.#inOrder.forEach((state, place) => (state!.place = place));
  }
}

function emptySegments(): Map<IdentityKey, InstanceState>[] {
  return Array.from({ length: SEGMENTS }, () => new Map<IdentityKey, InstanceState>());
}

/** 32 bits, of which the low ones differ as well as the high ones. */
function hashOf(key: IdentityKey): number {
  let hash = 0;
  if (typeof key === 'number') hash = Math.imul(key, 0x9e3779b1);
  else for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193);
  return hash ^ (hash >>> 15);
}
