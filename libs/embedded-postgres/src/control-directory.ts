import { randomUUID } from 'node:crypto';
import {
  chownSync,
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EmbeddedPostgresError } from './embedded-postgres-error.js';
import { currentProcess, isAlive, isElsewhere, type ProcessIdentity } from './process-identity.js';
import { makeReachableDirectory } from './reachable-directory.js';
import { isRoot } from './server-user.js';

/** What is written down about a cluster beside its data. */
export interface ClusterRecord {
  /** Password of the superuser `postgres`; random, and the reason why the file is readable by its owner only. */
  readonly password: string;
  /** Of the server that ran last, for example "18.4". */
  readonly version?: string;
  readonly port?: number;
  /** The server that runs, or ran last. */
  readonly postmaster?: ProcessIdentity;
}

/** What this directory itself noted. A note in a copy of the directory, made while the original was used, is void. */
type Note<T> = T & { readonly directory: string };

const lockTimeoutMs = 90_000;
const syncLockTimeoutMs = 2_000;

/**
 * The directory in which the processes that share a cluster agree: one lock, the record of the server, and one file
 * for each holder (a process that uses the server). Holders and lock name a process with its start time, so what a
 * killed process left behind is recognised, whoever has its pid now.
 *
 * All operations are synchronous: they are short, and a process must be able to leave from its `exit` handler.
 */
export class ControlDirectory {
  readonly #owner: { readonly uid: number; readonly gid: number };
  /** Names the directory itself: renaming keeps it, copying does not. */
  readonly #identity: string;
  #inside = false;

  /**
   * @param directory made if it is missing
   * @throws EmbeddedPostgresError `DIRECTORY_NOT_USABLE`
   */
  constructor(readonly directory: string) {
    try {
      // Others may pass through, so that a server lent another user reaches its data, but not list.
      makeReachableDirectory(directory, 0o711);
      mkdirSync(this.#holders, { recursive: true, mode: 0o700 });
      const { uid, gid, dev, ino } = statSync(directory);
      this.#owner = { uid, gid };
      this.#identity = `${dev}/${ino}`;
      this.#own(this.#holders);
    } catch (cause) {
      throw notUsable(directory, cause);
    }
  }

  /** Runs `fn` while no other process is inside; waits for one that is. */
  async exclusively<T>(fn: () => Promise<T>): Promise<T> {
    const deadline = Date.now() + lockTimeoutMs;
    while (!this.#tryLock()) {
      if (Date.now() > deadline) {
        throw new EmbeddedPostgresError(
          'LOCK_TIMEOUT',
          `Process ${this.#lockHolder()?.pid ?? '?'} has been starting or stopping the cluster in ${this.directory} for more than ${lockTimeoutMs / 1000} s.`,
        );
      }
      await sleep(25);
    }
    this.#inside = true;
    try {
      return await fn();
    } finally {
      this.#inside = false;
      this.#unlock();
    }
  }

  /**
   * The same for a process that is about to exit and cannot await; gives up after 2 s and returns undefined. If this
   * very object is inside, what it was doing there will never go on, and its lock is used.
   */
  exclusivelySync<T>(fn: () => T): T | undefined {
    const deadline = Date.now() + syncLockTimeoutMs;
    while (!this.#inside && !this.#tryLock()) {
      if (Date.now() > deadline) return undefined;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
    }
    try {
      return fn();
    } finally {
      this.#unlock();
    }
  }

  /** Notes that this process uses the server; returns the function that takes the note back. */
  enter(): () => void {
    const name = `${process.pid}-${randomUUID()}`;
    const file = path.join(this.#holders, `${name}.json`);
    // Others remove notes that they cannot read, so it must be there whole or not at all.
    try {
      this.#write(path.join(this.directory, name), currentProcess());
      renameSync(path.join(this.directory, name), file);
    } catch (cause) {
      throw notUsable(this.directory, cause);
    }
    return () => {
      remove(file);
    };
  }

  /** Processes that use the server now. Notes of processes that no longer live are removed. */
  holders(): readonly ProcessIdentity[] {
    const living: ProcessIdentity[] = [];
    for (const name of readdirSync(this.#holders)) {
      const file = path.join(this.#holders, name);
      const holder = this.#read(file);
      if (holder !== undefined && isAlive(holder)) living.push(holder);
      else remove(file);
    }
    return living;
  }

  /** Whether certainly nobody uses the cluster or is about to. What another container does cannot be seen from here. */
  get abandoned(): boolean {
    const files = readdirSync(this.#holders).map((name) => path.join(this.#holders, name));
    return [this.#lock, ...files].every((file) => {
      const process = this.#read(file);
      return process === undefined || !(isAlive(process) || isElsewhere(process));
    });
  }

  /** @throws EmbeddedPostgresError `DIRECTORY_NOT_USABLE` when another user made it */
  readRecord(): ClusterRecord | undefined {
    try {
      const { directory, ...record } = JSON.parse(readFileSync(this.#record, 'utf8')) as Note<ClusterRecord>;
      if (directory === this.#identity) return record;
      // The server that ran is the original's.
      const { postmaster, port, ...kept } = record;
      return kept;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw notUsable(this.directory, error);
    }
  }

  writeRecord(record: ClusterRecord): void {
    const draft = `${this.#record}.${randomUUID()}`;
    this.#write(draft, record);
    renameSync(draft, this.#record);
  }

  /** Opens the server's log for appending; what it said at earlier starts is dropped once it is long. */
  openLog(): { readonly fd: number; readonly start: number } {
    const file = this.logFile;
    const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
    const { O_WRONLY, O_CREAT, O_APPEND, O_TRUNC } = constants;
    const truncate = size > 4 * 1024 * 1024;
    // Root may be writing into an ordinary user's directory: never through a link laid there.
    const noFollow = process.platform === 'win32' ? 0 : constants.O_NOFOLLOW;
    const fd = openSync(file, O_WRONLY | O_CREAT | O_APPEND | noFollow | (truncate ? O_TRUNC : 0), 0o600);
    this.#own(file);
    return { fd, start: truncate ? 0 : size };
  }

  /** Path of the server's log. */
  get logFile(): string {
    return path.join(this.directory, 'server.log');
  }

  get #holders(): string {
    return path.join(this.directory, 'holders');
  }

  get #record(): string {
    return path.join(this.directory, 'server.json');
  }

  get #lock(): string {
    return path.join(this.directory, 'lock');
  }

  #tryLock(): boolean {
    if (this.#create(this.#lock)) return true;
    const holder = this.#lockHolder();
    if (holder !== undefined && isAlive(holder)) return false;
    // Two that find the lock abandoned must not both take it: only who holds `lock.steal` may remove it, and looks again.
    const steal = `${this.#lock}.steal`;
    if (!this.#create(steal)) {
      const thief = this.#read(steal);
      if ((thief === undefined || !isAlive(thief)) && age(steal) > 10_000) remove(steal);
      return false;
    }
    try {
      const again = this.#lockHolder();
      // A lock without readable content is being written at this moment, unless it stays so.
      const abandoned = again === undefined ? age(this.#lock) > 5_000 : !isAlive(again);
      if (abandoned) remove(this.#lock);
    } finally {
      remove(steal);
    }
    return false;
  }

  #unlock(): void {
    remove(this.#lock);
  }

  #lockHolder(): ProcessIdentity | undefined {
    return this.#read(this.#lock);
  }

  #create(file: string): boolean {
    try {
      this.#write(file, currentProcess());
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw notUsable(this.directory, error);
    }
  }

  #write(file: string, content: ProcessIdentity | ClusterRecord): void {
    const fd = openSync(file, 'wx', 0o600);
    try {
      writeFileSync(fd, JSON.stringify({ ...content, directory: this.#identity } satisfies Note<typeof content>));
    } finally {
      closeSync(fd);
    }
    this.#own(file);
  }

  /** The process that a note names; undefined if there is no such note of this directory. */
  #read(file: string): ProcessIdentity | undefined {
    try {
      const { directory, ...process } = JSON.parse(readFileSync(file, 'utf8')) as Note<ProcessIdentity>;
      return directory === this.#identity ? process : undefined;
    } catch {
      return undefined;
    }
  }

  /** What root writes into an ordinary user's directory stays usable by that user. */
  #own(file: string): void {
    if (isRoot() && this.#owner.uid !== 0) chownSync(file, this.#owner.uid, this.#owner.gid);
  }
}

function remove(file: string): void {
  try {
    unlinkSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

function age(file: string): number {
  const found = statSync(file, { throwIfNoEntry: false });
  return found === undefined ? 0 : Date.now() - found.mtimeMs;
}

function notUsable(directory: string, cause: unknown): EmbeddedPostgresError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new EmbeddedPostgresError(
    'DIRECTORY_NOT_USABLE',
    `The data directory ${directory} cannot be used by this user (${reason}). If another user made it (a run with sudo, for example), start as that user, or remove it to begin with an empty database.`,
    { cause },
  );
}
