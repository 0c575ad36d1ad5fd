import type { INestApplication } from '@nestjs/common';

const DEFAULT_PORT = 3000;
const HIGHEST_PORT = 65_535;

/** Where to listen, as the environment says it. */
export interface ListenOptions {
  /** `PORT`: this port and no other. Without it, 3000 or the next one that is free. */
  readonly port: string | undefined;
  /** `HOST`: the bank asks nobody who they are, so it is to be reached from its own machine unless told otherwise. */
  readonly host: string | undefined;
}

/** The port cannot be had. The message is for the one who started the bank. */
export class PortUnavailable extends Error {
  override readonly name = 'PortUnavailable';
}

/**
 * Lets the application listen.
 *
 * @returns its URL
 * @throws PortUnavailable
 */
export async function listen(app: INestApplication, { port, host = '127.0.0.1' }: ListenOptions): Promise<string> {
  if (port !== undefined && port !== '') {
    if (!/^\d{1,5}$/.test(port) || Number(port) > HIGHEST_PORT) {
      throw new PortUnavailable(`PORT must be a number from 0 to ${HIGHEST_PORT}, not '${port}'.`);
    }
    if (!(await tryPort(app, Number(port), host))) {
      throw new PortUnavailable(
        `Port ${port} is taken. Choose another PORT, or leave PORT out to get the next free one.`,
      );
    }
    return await app.getUrl();
  }
  for (let candidate = DEFAULT_PORT; candidate <= HIGHEST_PORT; candidate++) {
    if (await tryPort(app, candidate, host)) return await app.getUrl();
  }
  throw new PortUnavailable(`No port from ${DEFAULT_PORT} up is free.`);
}

async function tryPort(app: INestApplication, port: number, host: string): Promise<boolean> {
  try {
    await app.listen(port, host);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return false;
    throw error;
  }
}
