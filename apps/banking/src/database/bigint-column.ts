import type { ValueTransformer } from 'typeorm';

/**
 * Reads a PostgreSQL `bigint` as a JavaScript `bigint`. The driver hands it over as text, because a `number` would
 * lose the last digits of large sums.
 */
export const bigintColumn: ValueTransformer = {
  from: (stored: string | null) => (stored === null ? null : BigInt(stored)),
  to: (value: unknown) => (typeof value === 'bigint' ? value.toString() : value),
};
