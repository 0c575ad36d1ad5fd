import type { ServerResponse } from 'node:http';
import type { BeforeApplicationShutdown } from '@nestjs/common';
import { Injectable } from '@nestjs/common';
import type { Middleware } from '../logging/request-log.js';

/**
 * Lets a shutdown end with the last answer. A closing server takes no new connection, but it waits for each of the
 * others to be closed by its client or to idle for seconds; so every answer that goes out from now on says
 * `Connection: close`.
 */
@Injectable()
export class ConnectionDrain implements BeforeApplicationShutdown {
  private readonly open = new Set<ServerResponse>();
  private draining = false;

  /** Has to see every request. */
  readonly middleware: Middleware = (_request, response, next) => {
    if (this.draining) lastOfItsConnection(response);
    this.open.add(response);
    response.once('close', () => this.open.delete(response));
    next();
  };

  beforeApplicationShutdown(): void {
    this.draining = true;
    for (const response of this.open) lastOfItsConnection(response);
  }
}

function lastOfItsConnection(response: ServerResponse): void {
  if (!response.headersSent) response.setHeader('Connection', 'close');
}
