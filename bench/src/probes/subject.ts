/**
 * One contender as the probes drive it. Contenders that hand a transaction along give it as the handle; those whose
 * transaction is ambient ignore it. What a contender does not offer is left out, and its probes are not run.
 */
export interface ProbeSubject<Handle = any> {
  /** A transaction that begins here. */
  transaction<T>(work: (handle: Handle) => Promise<T>): Promise<T>;
  /** A method that joins the transaction of its caller (REQUIRED below REQUIRED). */
  joined?<T>(outer: Handle, work: (handle: Handle) => Promise<T>): Promise<T>;
  /** A savepoint inside the transaction of its caller, where the contender says that it makes one. */
  nested?<T>(outer: Handle, work: (handle: Handle) => Promise<T>): Promise<T>;
  /** A transaction apart from the one of its caller. */
  requiresNew<T>(work: (handle: Handle) => Promise<T>): Promise<T>;
  /** Inserts the row; a row that is there already is an error of the database. */
  write(handle: Handle, value: string): Promise<void>;
  /** Whether the transaction sees the row. */
  sees(handle: Handle, value: string): Promise<boolean>;
  /** Writes by the data source's own manager, or a fork of it, in a scope that is declared around it. */
  writeByPlainManager?(value: string): Promise<void>;
  close(): Promise<void>;
}

export interface ProbeDatabase {
  readonly url: string;
  readonly poolSize: number;
}

export type OpenSubject = (database: ProbeDatabase) => Promise<ProbeSubject>;
