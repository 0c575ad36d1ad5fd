import type { LoggerService } from '@nestjs/common';
import type { Logger as PinoLogger } from 'pino';

/** What Nest tells of itself while it starts: of use to those who look for it. */
const CHATTER = new Set(['NestFactory', 'InstanceLoader', 'RoutesResolver', 'RouterExplorer']);

/** Nest's logger on pino: context and stack become fields. */
export class NestLog implements LoggerService {
  constructor(private readonly sink: PinoLogger) {}

  log(message: unknown, ...rest: unknown[]): void {
    this.write(CHATTER.has(String(rest.at(-1))) ? 'debug' : 'info', message, rest);
  }

  fatal(message: unknown, ...rest: unknown[]): void {
    this.write('fatal', message, rest);
  }

  error(message: unknown, ...rest: unknown[]): void {
    this.write('error', message, rest);
  }

  warn(message: unknown, ...rest: unknown[]): void {
    this.write('warn', message, rest);
  }

  debug(message: unknown, ...rest: unknown[]): void {
    this.write('debug', message, rest);
  }

  verbose(message: unknown, ...rest: unknown[]): void {
    this.write('trace', message, rest);
  }

  /** Nest hands over the message, sometimes a stack, and last the context. */
  private write(
    level: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace',
    message: unknown,
    rest: readonly unknown[],
  ): void {
    const context = rest.at(-1);
    const more = rest.slice(0, -1).filter((value) => value !== undefined);
    const fields = { ...(typeof context === 'string' && { context }), ...(more.length > 0 && { more }) };
    // The name alone: what else may be said of an error is for the log to decide.
    if (message instanceof Error) this.sink[level]({ ...fields, err: message }, message.name);
    else if (typeof message === 'string') this.sink[level](fields, message);
    else this.sink[level]({ ...fields, detail: message });
  }
}
