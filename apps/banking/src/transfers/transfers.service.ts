import { Injectable } from '@nestjs/common';
import { DbSession, Transactional } from 'nestjs-uow';
import { Account } from '../accounts/account.entity.js';
import { IdempotencyRecord } from '../idempotency/idempotency-record.entity.js';
import type { TransferOrder } from './transfer-order.js';
import { Transfer } from './transfer.entity.js';

/** Moves money. */
@Injectable()
export class TransfersService {
  constructor(private readonly session: DbSession) {}

  // #region transfer
  /**
   * Carries out an order, all of it or nothing. The transfer and the answer that its idempotency key will give from now
   * on are committed together, so of two requests with one key at most one moves money.
   *
   * Both accounts are locked at once and in the order of their keys, so opposite transfers wait for each other instead
   * of deadlocking.
   */
  @Transactional()
  async transfer(order: TransferOrder, idempotencyKey: string): Promise<Transfer> {
    const { fromAccountId, toAccountId, money } = order;
    const [source, target] = await this.session.getManyOrFail(Account, [fromAccountId, toAccountId], {
      lock: 'update',
    });
    source.expectCustomers();
    target.expectCustomers();
    source.withdraw(money);
    target.deposit(money);
    const transfer = Transfer.between(source, target, money, order.reference);
    this.session.add(transfer);
    this.session.add(IdempotencyRecord.ofTransfer(idempotencyKey, order.fingerprint, transfer));
    return transfer;
  }
  // #endregion

  /** A transfer that has been made. */
  async get(id: string): Promise<Transfer> {
    return await this.session.getOrFail(Transfer, id);
  }
}
