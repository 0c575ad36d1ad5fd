import type { Currency } from './currency.js';

/** A sum in minor units (cents, pence, yen) of one currency. Never a fraction, so nothing is ever rounded. */
export class Money {
  constructor(
    readonly amount: bigint,
    readonly currency: Currency,
  ) {
    Object.freeze(this);
  }

  /** For people and logs: `1250 EUR` is twelve euros fifty. */
  toString(): string {
    return `${this.amount} ${this.currency}`;
  }
}
