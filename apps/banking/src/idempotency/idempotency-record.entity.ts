import { Column, CreateDateColumn, Entity, JoinColumn, ManyToOne, PrimaryColumn, type Relation } from 'typeorm';
import { Refusal, type RefusalCode } from '../refusals/refusal.js';
import { Transfer } from '../transfers/transfer.entity.js';

/**
 * What the bank answered to the first request with an `Idempotency-Key`: a transfer or a refusal, never both. Every
 * later request with the key gets this answer again.
 */
@Entity('idempotency_records')
export class IdempotencyRecord {
  @PrimaryColumn('text')
  key!: string;

  /** A digest of the order, to tell a retry from another order under the same key. */
  @Column('text')
  fingerprint!: string;

  @ManyToOne(() => Transfer, { nullable: true })
  @JoinColumn({ name: 'transfer_id' })
  transfer!: Relation<Transfer> | null;

  @Column('jsonb', { nullable: true })
  refusal!: { code: RefusalCode; message: string } | null;

  @CreateDateColumn({ name: 'created_at', type: 'timestamptz', precision: 3 })
  readonly createdAt!: Date;

  /** The key's answer is this transfer. */
  static ofTransfer(key: string, fingerprint: string, transfer: Transfer): IdempotencyRecord {
    return IdempotencyRecord.of(key, fingerprint, transfer, null);
  }

  /** The key's answer is this refusal. */
  static ofRefusal(key: string, fingerprint: string, { code, message }: Refusal): IdempotencyRecord {
    return IdempotencyRecord.of(key, fingerprint, null, { code, message });
  }

  private static of(
    key: string,
    fingerprint: string,
    transfer: Transfer | null,
    refusal: IdempotencyRecord['refusal'],
  ): IdempotencyRecord {
    const record = new IdempotencyRecord();
    record.key = key;
    record.fingerprint = fingerprint;
    record.transfer = transfer;
    record.refusal = refusal;
    return record;
  }
}
