import type pg from 'pg';
import type { CountingProxy } from '../wire/counting-proxy.js';
import type { ProbeSubject } from './subject.js';

/** What one run of a probe saw, in words that a table can carry. */
export interface Sighting {
  readonly kept: 'promise' | 'broken';
  readonly seen: string;
  /** The process cannot serve another run. */
  readonly spent?: true;
}

/** What a probe works with. Rows are named within one run; runs do not meet. */
export interface ProbeRun {
  readonly subject: ProbeSubject;
  readonly proxy: CountingProxy;
  /** A connection of the observer's own. */
  readonly observer: pg.Client;
  /** The row's value in this run. */
  row(name: string): string;
  /** The rows of this run that everybody sees, sorted. */
  keptRows(): Promise<string[]>;
}

/** A situation in which libraries differ, brought about on purpose. */
export interface Probe {
  readonly name: string;
  /** The row's heading in the table. */
  readonly title: string;
  /** What the contender must offer to be asked. */
  readonly needs?: 'joined' | 'nested' | 'writeByPlainManager';
  readonly poolSize: number;
  /** For which a run that does not end counts as hanging; milliseconds. */
  readonly patience: number;
  readonly repetitions: number;
  run(run: ProbeRun): Promise<Sighting>;
}

export function promise(seen: string): Sighting {
  return { kept: 'promise', seen };
}

export function broken(seen: string): Sighting {
  return { kept: 'broken', seen };
}

/** The class of what was thrown. */
export function nameOf(error: unknown): string {
  return error instanceof Error ? error.constructor.name : typeof error;
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Lets a number of branches go on together; those that the contender makes wait for each other go on after `patience`. */
export function barrier(parties: number, patience = 150): () => Promise<void> {
  let missing = parties;
  let open!: () => void;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return async () => {
    missing -= 1;
    if (missing === 0) open();
    await Promise.race([opened, pause(patience)]);
  };
}

/** How a promise ended. */
export async function outcomeOf(work: Promise<unknown>): Promise<{ readonly error: unknown; readonly done: boolean }> {
  try {
    await work;
    return { error: undefined, done: true };
  } catch (error) {
    return { error, done: false };
  }
}
