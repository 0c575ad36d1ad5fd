/** Why the bank says no. Stable: clients and the idempotency record rely on these words. */
export type RefusalCode =
  | 'unknown-account'
  | 'insufficient-funds'
  | 'currency-mismatch'
  | 'account-not-active'
  | 'account-not-empty'
  | 'balance-limit-exceeded'
  | 'bank-owned-account'
  | 'idempotency-key-reused';

/**
 * The bank understood the order and will not carry it out: a rule of the business, not a fault. Knows nothing of HTTP;
 * the code and the message are all that is ever recorded or shown of it.
 */
export class Refusal extends Error {
  override readonly name: string = 'Refusal';

  constructor(
    readonly code: RefusalCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
