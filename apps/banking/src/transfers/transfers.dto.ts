import { ApiProperty } from '@nestjs/swagger';
import { IsIn, IsOptional, IsString, Length } from 'class-validator';
import { DiffersFrom } from '../http/differs-from.js';
import { IsIdentifier } from '../http/identifier.js';
import { IsMinorUnits, MinorUnits } from '../http/minor-units.js';
import { CURRENCIES, type Currency } from '../money/currency.js';
import { Money } from '../money/money.js';
import { TransferOrder } from './transfer-order.js';
import type { Transfer } from './transfer.entity.js';

/** Body of `POST /transfers`. */
export class MakeTransfer {
  @IsIdentifier({ description: 'The account that gives.', example: '7' })
  fromAccountId!: string;

  @IsIdentifier({ description: 'The account that takes.', example: '8' })
  @DiffersFrom('fromAccountId')
  toAccountId!: string;

  @IsMinorUnits({ above: 'zero', description: 'In minor units: `1250` is 12.50 EUR, and 1250 JPY.' })
  amount!: string;

  @ApiProperty({ enum: CURRENCIES, example: 'EUR', description: 'Must be the currency of both accounts.' })
  @IsIn(CURRENCIES)
  currency!: Currency;

  @ApiProperty({ type: String, required: false, minLength: 1, maxLength: 140, example: 'Invoice 2026-017' })
  @IsOptional()
  @IsString()
  @Length(1, 140)
  reference?: string;

  /** The same in the bank's own terms. */
  toOrder(): TransferOrder {
    const money = new Money(BigInt(this.amount), this.currency);
    return new TransferOrder(this.fromAccountId, this.toAccountId, money, this.reference ?? null);
  }
}

/** A transfer, as the API shows one. */
export class TransferView {
  @ApiProperty({ example: '42' })
  readonly id: string;

  @ApiProperty({ example: '7' })
  readonly fromAccountId: string;

  @ApiProperty({ example: '8' })
  readonly toAccountId: string;

  @MinorUnits({ description: 'In minor units.' })
  readonly amount: string;

  @ApiProperty({ enum: CURRENCIES, example: 'EUR' })
  readonly currency: Currency;

  @ApiProperty({ type: String, nullable: true, example: 'Invoice 2026-017' })
  readonly reference: string | null;

  @ApiProperty({ format: 'date-time', example: '2026-01-31T12:00:00.000Z' })
  readonly createdAt: string;

  constructor(transfer: Transfer) {
    this.id = transfer.id;
    this.fromAccountId = transfer.fromAccountId;
    this.toAccountId = transfer.toAccountId;
    this.amount = transfer.amount.toString();
    this.currency = transfer.currency;
    this.reference = transfer.reference;
    this.createdAt = transfer.createdAt.toISOString();
  }
}
