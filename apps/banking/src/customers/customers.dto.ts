import { ApiProperty } from '@nestjs/swagger';
import { IsEmail, IsString, Length, MaxLength } from 'class-validator';
import type { Customer } from './customer.entity.js';

/** Body of `POST /customers`. */
export class RegisterCustomer {
  @ApiProperty({ minLength: 1, maxLength: 200, example: 'Ada Lovelace' })
  @IsString()
  @Length(1, 200)
  name!: string;

  @ApiProperty({
    maxLength: 254,
    example: 'ada@example.com',
    description: 'Unique; upper and lower case are the same.',
  })
  @IsEmail()
  @MaxLength(254)
  email!: string;
}

/** A customer, as the API shows one. */
export class CustomerView {
  @ApiProperty({ example: '1' })
  readonly id: string;

  @ApiProperty({ example: 'Ada Lovelace' })
  readonly name: string;

  @ApiProperty({ example: 'ada@example.com' })
  readonly email: string;

  @ApiProperty({ format: 'date-time', example: '2026-01-31T12:00:00.000Z' })
  readonly createdAt: string;

  constructor(customer: Customer) {
    this.id = customer.id;
    this.name = customer.name;
    this.email = customer.email;
    this.createdAt = customer.createdAt.toISOString();
  }
}
