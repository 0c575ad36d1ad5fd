import type { ModuleMetadata, Type } from '@nestjs/common';

/** Moves money: locks both accounts, checks and changes the balances, records the transfer and its two postings. */
export interface TransferDesk {
  transfer(source: number, target: number, amount: number): Promise<void>;
}

/** Finds so many accounts by their keys, one after the other; the next time it goes on from there, round and round. */
export type Find = (times: number) => Promise<void>;

/** One contender as the workloads drive it. What it does not offer, or what is not asked of it, is left out. */
export interface BenchContender extends TransferDesk {
  /** A transaction in which nothing happens. */
  emptyTransaction(): Promise<unknown>;
  /** One transaction, and in it, one after the other, calls of a method that joins and does nothing. */
  joinedCalls?(count: number): Promise<unknown>;
  /** Inserts parents with children, keys made by the database, in one transaction. */
  insertFamilies?(parents: number, children: number): Promise<unknown>;
  /** Loads the first measurements, changes one column of each, writes them back, in one transaction. */
  changeMeasurements?(count: number): Promise<unknown>;
  /** Loads measurements with all their columns. */
  loadMeasurements?(count: number): Promise<unknown[]>;
  /** The same where the contender can be told that nothing will be changed. */
  loadMeasurementsReadOnly?(count: number): Promise<unknown[]>;
  /** Loads parents, each with its children in a property. */
  loadFamilies?(): Promise<unknown[]>;
  /** Opens one session, or whatever comes near it, for the work, which finds accounts in it. */
  findAccounts?<T>(work: (find: Find) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

export interface BenchAddress {
  readonly url: string;
  readonly poolSize: number;
}

/** How a contender serves HTTP with Nest: modules around the controller, and the provider that it calls. */
export interface HttpParts {
  readonly imports: NonNullable<ModuleMetadata['imports']>;
  readonly desk: Type<TransferDesk>;
}

/** What each file of a contender exports. */
export interface ContenderModule {
  open(address: BenchAddress): Promise<BenchContender>;
  /** Where the contender lives in Nest's modules; the others are a plain provider. */
  httpParts?(address: BenchAddress): HttpParts;
}
