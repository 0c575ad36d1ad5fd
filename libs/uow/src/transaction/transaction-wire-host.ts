import type { Database } from '../database/database.js';
import type { DatabaseConnection } from '../database/database-connection.js';
import type { Statement } from '../database/statement.js';
import type { GivingUp } from './giving-up.js';
import type { Operations } from './operations.js';
import type { PhysicalTransaction } from './physical-transaction.js';
import { watchForSelfDeadlock } from './self-deadlock.js';
import { openingStatements } from './transaction-definition.js';
import type { WireHost } from './transaction-wire.js';

/** The transaction as its wire sees it. */
export class TransactionWireHost implements WireHost {
  readonly #transaction: PhysicalTransaction;
  readonly #expiresAt: number;
  readonly #givingUp: GivingUp;
  readonly #operations: Operations;

  constructor(transaction: PhysicalTransaction, expiresAt: number, givingUp: GivingUp, operations: Operations) {
    this.#transaction = transaction;
    this.#expiresAt = expiresAt;
    this.#givingUp = givingUp;
    this.#operations = operations;
  }

  get label(): string {
    return this.#transaction.label;
  }

  get database(): Database {
    return this.#transaction.database;
  }

  opening(): readonly Statement[] {
    return openingStatements(this.#transaction.definition, this.#expiresAt, this.database.serverVersion);
  }

  acquire(): Promise<DatabaseConnection> {
    // The provider opens its sockets outside every frame: none keeps a request alive.
    return this.database.acquire(this.#transaction, { signal: this.#givingUp.signal });
  }

  assertNotGivenUp(): void {
    this.#givingUp.assertNot();
  }

  closedError(): Error {
    return this.#transaction.closedError('A statement that was not sent yet');
  }

  beforeBegin(): Promise<void> | undefined {
    return this.#operations.observe((observer) => observer.beforeBegin?.(this.#transaction));
  }

  afterBegin(): Promise<void> | undefined {
    return this.#operations.observe((observer) => observer.afterBegin?.(this.#transaction));
  }

  onBegun(): void {
    this.#transaction.context.synchronization?.begun?.(this.#transaction);
  }

  onLost(reason: Error, endedOutside: boolean): void {
    if (endedOutside) this.#givingUp.noteEndedOutside(reason);
    else this.#givingUp.noteLost(reason);
  }

  watch(connection: DatabaseConnection): (() => void) | undefined {
    return watchForSelfDeadlock(this.#transaction, connection, this.#transaction.context.outer);
  }
}
