import { applyDecorators, createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { ApiHeader } from '@nestjs/swagger';
import { InvalidInput } from './invalid-input.js';

const HEADER = 'Idempotency-Key';

/**
 * A handler's parameter with the `Idempotency-Key` of the request: 1 to 255 visible ASCII characters, as they are or as
 * a quoted string, which means the same. A request without one is not accepted.
 */
export const IdempotencyKey = createParamDecorator((_: unknown, context: ExecutionContext): string => {
  const { headers } = context.switchToHttp().getRequest<{ headers: Record<string, string | undefined> }>();
  const key = headers[HEADER.toLowerCase()]?.replace(/^"(.*)"$/, '$1');
  if (key === undefined) throw new InvalidInput([{ field: HEADER, detail: `${HEADER} is required` }]);
  if (!/^[\x21-\x7e]{1,255}$/.test(key)) {
    throw new InvalidInput([{ field: HEADER, detail: `${HEADER} must be 1 to 255 visible ASCII characters` }]);
  }
  return key;
});

/** Documents the header for {@link IdempotencyKey}. */
export function ApiIdempotencyKey(): MethodDecorator {
  return applyDecorators(
    ApiHeader({
      name: HEADER,
      required: true,
      description:
        'Chosen by the client, one for each order. Sent again with the same body, the order is not carried out a second time: the first answer is given again, with `Idempotency-Replayed: true`. With another body it is refused (422).',
      schema: { type: 'string', minLength: 1, maxLength: 255 },
      example: '8e03978e-40d5-43dd-bc93-6894a57f9324',
    }),
  );
}
