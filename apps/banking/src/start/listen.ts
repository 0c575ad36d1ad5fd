import type { INestApplication } from '@nestjs/common';

const DEFAULT_PORT = 3000;
const HIGHEST_PORT = 65_535;

/** The port cannot be had. The message is for the one who started the bank. */
export class PortUnavailable extends Error {
  override readonly name = 'PortUnavailable';
}

/**
 * Reads `PORT`.
 *
 * @returns the port, or undefined where any will do
 * @throws PortUnavailable where it is none
 */
export function parsePort(port: string | undefined): number | undefined {
  if (port === undefined || port === '') return undefined;
  if (/^\d{1,5}$/.test(port) && Number(port) <= HIGHEST_PORT) return Number(port);
  throw new PortUnavailable(`PORT must be a number from 0 to ${HIGHEST_PORT}, not '${port}'.`);
}

/**
 * Lets the application listen: on this port and no other, or, without one, on 3000 or the next that is free.
 *
 * @returns its URL
 * @throws PortUnavailable where the port is taken
 */
export async function listen(app: INestApplication, host: string, port: number | undefined): Promise<string> {
  if (port !== undefined) {
    if (await tryPort(app, host, port)) return await app.getUrl();
    throw new PortUnavailable(
      `Port ${port} is taken. Choose another PORT, or leave PORT out to get the next free one.`,
    );
  }
  for (let candidate = DEFAULT_PORT; candidate <= HIGHEST_PORT; candidate++) {
    if (await tryPort(app, host, candidate)) return await app.getUrl();
  }
  throw new PortUnavailable(`No port from ${DEFAULT_PORT} up is free.`);
}

async function tryPort(app: INestApplication, host: string, port: number): Promise<boolean> {
  try {
    await app.listen(port, host);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return false;
    throw error;
  }
}
