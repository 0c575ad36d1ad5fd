import { channel } from 'node:diagnostics_channel';

/**
 * Warnings that are no errors: they name something that will hurt later. Each goes to the application's
 * logger and to the diagnostics channel `nestjs-uow:warning`, which costs nothing while nobody listens.
 */

export interface Warning {
  /** Stable name of the kind of warning, such as `UOW_WARN_SESSION_OPEN_TOO_LONG`. */
  readonly code: `UOW_WARN_${string}`;
  /** What happened, where, and what to do. */
  readonly message: string;
  /** The error behind it, where there is one. */
  readonly error?: unknown;
}

export type Report = (warning: Warning) => void;

const warnings = channel('nestjs-uow:warning');

/** Makes a `Report` that writes with `write` and publishes on `nestjs-uow:warning`. */
export function reporting(write: (warning: Warning) => void): Report {
  return (warning) => {
    if (warnings.hasSubscribers) warnings.publish(warning);
    write(warning);
  };
}

/** The report of a process without a logger of its own. */
export const reportToProcess: Report = reporting((warning) => {
  process.emitWarning(warning.message, { type: 'UowWarning', code: warning.code });
});
