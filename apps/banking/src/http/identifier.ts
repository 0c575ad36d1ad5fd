import { applyDecorators, type PipeTransform } from '@nestjs/common';
import { ApiProperty, type ApiPropertyOptions } from '@nestjs/swagger';
import { ValidateBy } from 'class-validator';
import { InvalidInput } from './invalid-input.js';

const LARGEST = 9_223_372_036_854_775_807n;

/** Whether this is an id in the only spelling that the bank gives out: digits without leading zeros, within 64 bits. */
export function isIdentifier(value: unknown): value is string {
  return typeof value === 'string' && /^[1-9]\d{0,18}$/.test(value) && BigInt(value) <= LARGEST;
}

/** A body or query field with an id. */
export function IsIdentifier(options: ApiPropertyOptions = {}): PropertyDecorator {
  return applyDecorators(
    ApiProperty({ type: String, pattern: '^[1-9]\\d{0,18}$', example: '7', ...options }),
    ValidateBy({
      name: 'isIdentifier',
      validator: {
        validate: isIdentifier,
        defaultMessage: (context) => `${context?.property} must be an id: digits, as a string`,
      },
    }),
  );
}

/** A path parameter with an id. */
export const parseIdentifier: PipeTransform<unknown, string> = {
  transform(value, { data }) {
    if (isIdentifier(value)) return value;
    const field = data ?? 'id';
    throw new InvalidInput([{ field, detail: `${field} must be an id: digits` }]);
  },
};
