/** Why an embedded server could not be had; stable, to be compared in code. */
export type EmbeddedPostgresErrorCode =
  | 'PLATFORM_NOT_SUPPORTED'
  | 'NO_UNPRIVILEGED_USER'
  | 'DIRECTORY_NOT_USABLE'
  | 'OTHER_MAJOR_VERSION'
  | 'INITDB_FAILED'
  | 'START_FAILED'
  | 'STOP_FAILED'
  | 'LOCK_TIMEOUT';

/** Says what kept the embedded PostgreSQL from working, and what to do about it. */
export class EmbeddedPostgresError extends Error {
  override readonly name = 'EmbeddedPostgresError';

  constructor(
    readonly code: EmbeddedPostgresErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** The sentence that ends every message whose remedy is a PostgreSQL of the user's own. */
export const useDatabaseUrl =
  'To use a PostgreSQL of your own instead, set DATABASE_URL, for example DATABASE_URL=postgres://user:password@127.0.0.1:5432/postgres (the user must be allowed to create databases).';
