import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, SwaggerModule } from '@nestjs/swagger';

/**
 * Serves the OpenAPI description for programs at `/docs-json` and `/docs-yaml`, and for people at `/docs`: on Express,
 * since the page's files would ask for one more package on Fastify.
 */
export function serveApiDocs(app: INestApplication): void {
  const description = new DocumentBuilder()
    .setTitle('A bank')
    .setDescription(
      'Sums of money travel as strings of digits, in minor units of their currency: `"1250"` is 12.50 EUR, and 1250 JPY. Ids are strings of digits too. Errors are `application/problem+json` (RFC 9457); tell them apart by `type`. Each answer has an `X-Request-Id`: the one that the client sent, or a new one.',
    )
    .setVersion('1')
    .build();
  const ui = app.getHttpAdapter().getType() === 'express';
  SwaggerModule.setup('docs', app, () => SwaggerModule.createDocument(app, description), { ui });
}
