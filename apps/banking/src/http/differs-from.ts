import { ValidateBy } from 'class-validator';

/** A body field that may not have the value of another one. */
export function DiffersFrom(other: string): PropertyDecorator {
  return ValidateBy({
    name: 'differsFrom',
    validator: {
      validate: (value, context) => value !== (context?.object as Record<string, unknown> | undefined)?.[other],
      defaultMessage: (context) => `${context?.property} must differ from ${other}`,
    },
  });
}
