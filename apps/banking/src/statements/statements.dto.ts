import { ApiProperty } from '@nestjs/swagger';
import { Type } from 'class-transformer';
import { IsInt, IsOptional, Max, Min } from 'class-validator';
import { IsIdentifier } from '../http/identifier.js';
import { MinorUnits } from '../http/minor-units.js';
import { CURRENCIES, type Currency } from '../money/currency.js';
import type { LedgerEntry } from '../transfers/ledger-entry.entity.js';
import type { StatementPage } from './statements.service.js';

const LARGEST_PAGE = 200;

/** Query of `GET /accounts/:id/statement`. */
export class StatementQuery {
  @ApiProperty({ type: 'integer', required: false, default: 50, minimum: 1, maximum: LARGEST_PAGE })
  @IsOptional()
  @Type(() => Number)
  @IsInt()
  @Min(1)
  @Max(LARGEST_PAGE)
  limit = 50;

  @IsIdentifier({
    required: false,
    example: '1234',
    description: '`next` of the page before. New entries never shift the pages after it.',
  })
  @IsOptional()
  before?: string;
}

/** A posting, as a statement shows it. */
export class StatementEntryView {
  @ApiProperty({ example: '1234' })
  readonly id: string;

  @ApiProperty({ example: '42' })
  readonly transferId: string;

  @ApiProperty({ example: '8', description: 'The account on the other side.' })
  readonly counterpartyAccountId: string;

  @MinorUnits({ example: '-1250', description: 'In minor units, negative where money left the account.' })
  readonly amount: string;

  @MinorUnits({ example: '98750', description: 'The balance right after it.' })
  readonly balanceAfter: string;

  @ApiProperty({ type: String, nullable: true, example: 'Invoice 2026-017' })
  readonly reference: string | null;

  @ApiProperty({ format: 'date-time', example: '2026-01-31T12:00:00.000Z' })
  readonly createdAt: string;

  constructor(entry: LedgerEntry) {
    const { transfer } = entry;
    this.id = entry.id;
    this.transferId = transfer.id;
    this.counterpartyAccountId = entry.amount < 0n ? transfer.toAccountId : transfer.fromAccountId;
    this.amount = entry.amount.toString();
    this.balanceAfter = entry.balanceAfter.toString();
    this.reference = transfer.reference;
    this.createdAt = transfer.createdAt.toISOString();
  }
}

/** One page of an account's history. */
export class StatementView {
  @ApiProperty({ example: '7' })
  readonly accountId: string;

  @ApiProperty({ enum: CURRENCIES, example: 'EUR' })
  readonly currency: Currency;

  @MinorUnits({ example: '98750', description: 'The balance now, in minor units.' })
  readonly balance: string;

  @ApiProperty({ type: [StatementEntryView], description: 'Latest first.' })
  readonly entries: StatementEntryView[];

  @ApiProperty({ type: String, nullable: true, example: '1234', description: 'Goes into `before` for the next page.' })
  readonly next: string | null;

  constructor({ account, entries, next }: StatementPage) {
    this.accountId = account.id;
    this.currency = account.currency;
    this.balance = account.balance.toString();
    this.entries = entries.map((entry) => new StatementEntryView(entry));
    this.next = next;
  }
}
