import { Injectable } from '@nestjs/common';
import { EntityNotFoundError } from 'nestjs-uow';
import { UnknownAccount } from '../accounts/account-errors.js';
import type { IdempotencyRecord } from '../idempotency/idempotency-record.entity.js';
import { IdempotencyService } from '../idempotency/idempotency.service.js';
import { Refusal } from '../refusals/refusal.js';
import type { TransferOrder } from './transfer-order.js';
import type { Transfer } from './transfer.entity.js';
import { TransfersService } from './transfers.service.js';

/** What the desk answers to an order. */
export interface TransferAnswer {
  readonly transfer: Transfer;
  /** Whether the transfer had been made before, by another request with the same key. */
  readonly replayed: boolean;
}

/**
 * Takes orders and sees to it that each idempotency key gets one answer, the one on record. A success is recorded by
 * the transaction that makes it; a refusal by one of its own, after the order's was rolled back. What is neither (a
 * conflict, a lost connection) is not an answer: the client may try again with the same key.
 */
@Injectable()
export class TransferDeskService {
  constructor(
    private readonly transfers: TransfersService,
    private readonly idempotency: IdempotencyService,
  ) {}

  /**
   * Carries out the order, or repeats what was answered to the key before.
   *
   * @throws Refusal now or again
   */
  async place(order: TransferOrder, key: string): Promise<TransferAnswer> {
    const known = await this.idempotency.find(key);
    if (known !== null) return answerOnRecord(known, order);
    try {
      return { transfer: await this.transfers.transfer(order, key), replayed: false };
    } catch (error) {
      return answerOnRecord(await this.recordAfter(error, order, key), order);
    }
  }

  private async recordAfter(error: unknown, order: TransferOrder, key: string): Promise<IdempotencyRecord> {
    const refusal = refusalOf(error);
    if (refusal !== null) return await this.idempotency.recordRefusal(key, order.fingerprint, refusal);
    // Another request with the key may have committed meanwhile, which is what made this one fail.
    const record = await this.idempotency.find(key);
    if (record === null) throw error;
    return record;
  }
}

/** The refusal that the order ended with, if it did; of the rows that it needs only an account can be missing. */
function refusalOf(error: unknown): Refusal | null {
  if (error instanceof EntityNotFoundError) return new UnknownAccount([error.key].flat().join(', '), { cause: error });
  return error instanceof Refusal ? error : null;
}

function answerOnRecord(record: IdempotencyRecord, order: TransferOrder): TransferAnswer {
  if (record.fingerprint !== order.fingerprint) {
    throw new Refusal('idempotency-key-reused', 'This Idempotency-Key belongs to another order.');
  }
  if (record.transfer !== null) return { transfer: record.transfer, replayed: true };
  const { code, message } = record.refusal ?? missingAnswer(record);
  throw new Refusal(code, message);
}

function missingAnswer(record: IdempotencyRecord): never {
  throw new Error(`The idempotency record ${record.key} has no answer, which its table forbids`);
}
