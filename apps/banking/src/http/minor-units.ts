import { applyDecorators } from '@nestjs/common';
import { ApiProperty, type ApiPropertyOptions } from '@nestjs/swagger';
import { ValidateBy } from 'class-validator';

/**
 * A body field with a sum of money: whole minor units (cents, pence, yen), in digits, as a string, since JSON numbers
 * lose digits above 2^53. At most 18 digits, so that no single sum comes near the limit of a balance.
 */
export function IsMinorUnits({ above, ...options }: ApiPropertyOptions & { above?: 'zero' } = {}): PropertyDecorator {
  const pattern = above === 'zero' ? /^[1-9]\d{0,17}$/ : /^(0|[1-9]\d{0,17})$/;
  return applyDecorators(
    ApiProperty({ type: String, pattern: pattern.source, example: '1250', ...options }),
    ValidateBy({
      name: 'isMinorUnits',
      validator: {
        validate: (value) => typeof value === 'string' && pattern.test(value),
        defaultMessage: (context) =>
          `${context?.property} must be a whole number of minor units in at most 18 digits${above === 'zero' ? ', above zero' : ''}, as a string`,
      },
    }),
  );
}

/** An answer's field with a sum of money in minor units, signed. */
export function MinorUnits(options: ApiPropertyOptions = {}): PropertyDecorator {
  return ApiProperty({
    type: String,
    pattern: '^-?(0|[1-9]\\d*)$',
    example: '1250',
    ...options,
  });
}
