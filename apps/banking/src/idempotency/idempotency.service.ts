import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { Transactional } from 'nestjs-uow';
import type { Repository } from 'typeorm';
import type { Refusal } from '../refusals/refusal.js';
import { IdempotencyRecord } from './idempotency-record.entity.js';

/**
 * What was answered under which key, by an ordinary TypeORM repository: inside a transactional method it takes part in
 * the transaction, outside one it queries by itself.
 */
@Injectable()
export class IdempotencyService {
  constructor(@InjectRepository(IdempotencyRecord) private readonly records: Repository<IdempotencyRecord>) {}

  /** The answer that was given under the key, if one was. */
  async find(key: string): Promise<IdempotencyRecord | null> {
    return await this.records.findOne({ where: { key }, relations: { transfer: true } });
  }

  /**
   * Makes a refusal the answer of the key, unless it has one by now: the first that was recorded stands.
   *
   * @returns the answer that stands
   */
  @Transactional()
  async recordRefusal(key: string, fingerprint: string, refusal: Refusal): Promise<IdempotencyRecord> {
    const record = IdempotencyRecord.ofRefusal(key, fingerprint, refusal);
    await this.records.createQueryBuilder().insert().values(record).orIgnore().execute();
    return await this.records.findOneOrFail({ where: { key }, relations: { transfer: true } });
  }
}
