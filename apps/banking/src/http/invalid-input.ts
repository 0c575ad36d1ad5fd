import { BadRequestException, ValidationPipe, type ValidationError } from '@nestjs/common';
import type { InvalidField } from './problem-details.js';

/** The request is not well formed: answered with 400 and the fields that are at fault. */
export class InvalidInput extends BadRequestException {
  constructor(readonly errors: readonly InvalidField[]) {
    super(errors.map(({ detail }) => detail).join('; '));
  }
}

/** Checks bodies and queries against their classes, and lets nothing through that they do not name. */
export function inputValidation(): ValidationPipe {
  return new ValidationPipe({
    transform: true,
    whitelist: true,
    forbidNonWhitelisted: true,
    forbidUnknownValues: true,
    exceptionFactory: (errors) => new InvalidInput(errors.flatMap((error) => invalidFields(error))),
  });
}

function invalidFields(error: ValidationError, parents: readonly string[] = []): InvalidField[] {
  const path = [...parents, error.property];
  const field = path.join('.');
  return [
    ...Object.values(error.constraints ?? {}).map((detail) => ({ field, detail })),
    ...(error.children ?? []).flatMap((child) => invalidFields(child, path)),
  ];
}
