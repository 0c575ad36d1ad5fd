import { createHash } from 'node:crypto';
import type { Money } from '../money/money.js';

/** What a client asks for: so much money, from here to there. */
export class TransferOrder {
  constructor(
    readonly fromAccountId: string,
    readonly toAccountId: string,
    readonly money: Money,
    readonly reference: string | null = null,
  ) {}

  /** Equal for equal orders, however their JSON was spelled. */
  get fingerprint(): string {
    const { amount, currency } = this.money;
    const order = [this.fromAccountId, this.toAccountId, amount.toString(), currency, this.reference];
    return createHash('sha256').update(JSON.stringify(order)).digest('hex');
  }
}
