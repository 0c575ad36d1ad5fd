import { STATUS_CODES } from 'node:http';
import { ApiProperty } from '@nestjs/swagger';

/** A field of the request that is not as it must be. */
export class InvalidField {
  @ApiProperty({ description: 'Name of the field, header or parameter.', example: 'amount' })
  field!: string;

  @ApiProperty({ example: 'amount must be a whole number of minor units in digits, above zero, as a string' })
  detail!: string;
}

/** The body of every error answer, after RFC 9457. */
export class ProblemDetails {
  @ApiProperty({
    description: '`about:blank` where the status says it all, else `/problems/` and the name of a kind of problem.',
    example: '/problems/insufficient-funds',
  })
  type!: string;

  @ApiProperty({ example: 'Insufficient funds' })
  title!: string;

  @ApiProperty({ example: 422 })
  status!: number;

  @ApiProperty({ example: 'Account 7 does not have 1250 EUR to give.' })
  detail?: string;

  @ApiProperty({
    type: [InvalidField],
    required: false,
    description: 'What is wrong with the request, field by field.',
  })
  errors?: InvalidField[];
}

/** The media type of {@link ProblemDetails}. */
export const PROBLEM_JSON = 'application/problem+json';

/** A problem that its status describes well enough. */
export function plainProblem(status: number, detail?: string): ProblemDetails {
  return {
    type: 'about:blank',
    title: STATUS_CODES[status] ?? 'Unknown Error',
    status,
    ...(detail !== undefined && { detail }),
  };
}

/** A problem of a kind that clients may want to tell apart: the title is the kind's name in words. */
export function namedProblem(status: number, name: string, detail: string): ProblemDetails {
  const words = name.replaceAll('-', ' ');
  return { type: `/problems/${name}`, title: words.charAt(0).toUpperCase() + words.slice(1), status, detail };
}
