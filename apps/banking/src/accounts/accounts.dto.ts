import { ApiProperty } from '@nestjs/swagger';
import { IsIn, IsInt, IsOptional, IsPositive, Max } from 'class-validator';
import { IsIdentifier } from '../http/identifier.js';
import { IsMinorUnits, MinorUnits } from '../http/minor-units.js';
import { CURRENCIES, type Currency } from '../money/currency.js';
import { type Account, ACCOUNT_STATUSES, type AccountStatus } from './account.entity.js';

const LARGEST_VERSION = 2_147_483_647;

/** Body of `POST /accounts`. */
export class OpenAccount {
  @IsIdentifier({ description: 'Whose account it is.' })
  customerId!: string;

  @ApiProperty({ enum: CURRENCIES, example: 'EUR' })
  @IsIn(CURRENCIES)
  currency!: Currency;

  @IsMinorUnits({
    required: false,
    default: '0',
    example: '100000',
    description: 'Brought along by the customer, in minor units.',
  })
  @IsOptional()
  openingDeposit?: string;

  @IsMinorUnits({
    required: false,
    default: '0',
    example: '0',
    description: 'How far below zero the balance may go, in minor units.',
  })
  @IsOptional()
  overdraftLimit?: string;
}

/** Body of `PATCH /accounts/:id`. */
export class ChangeAccount {
  @ApiProperty({ enum: ACCOUNT_STATUSES, example: 'frozen', description: 'A frozen account neither gives nor takes.' })
  @IsIn(ACCOUNT_STATUSES)
  status!: AccountStatus;

  @ApiProperty({ type: 'integer', example: 3, description: 'The version that the client has seen.' })
  @IsInt()
  @IsPositive()
  @Max(LARGEST_VERSION)
  version!: number;
}

/** An account, as the API shows one. */
export class AccountView {
  @ApiProperty({ example: '7' })
  readonly id: string;

  @ApiProperty({ type: String, nullable: true, example: '1', description: "`null` for the bank's own accounts." })
  readonly customerId: string | null;

  @ApiProperty({ enum: CURRENCIES, example: 'EUR' })
  readonly currency: Currency;

  @MinorUnits({ description: 'In minor units.', example: '100000' })
  readonly balance: string;

  @MinorUnits({ description: 'How far below zero the balance may go, in minor units.', example: '0' })
  readonly overdraftLimit: string;

  @ApiProperty({ enum: ACCOUNT_STATUSES, example: 'active' })
  readonly status: AccountStatus;

  @ApiProperty({ type: 'integer', example: 3, description: 'Rises with every change.' })
  readonly version: number;

  @ApiProperty({ format: 'date-time', example: '2026-01-31T12:00:00.000Z' })
  readonly createdAt: string;

  constructor(account: Account) {
    this.id = account.id;
    this.customerId = account.customerId;
    this.currency = account.currency;
    this.balance = account.balance.toString();
    this.overdraftLimit = account.overdraftLimit.toString();
    this.status = account.status;
    this.version = account.version;
    this.createdAt = account.createdAt.toISOString();
  }
}
