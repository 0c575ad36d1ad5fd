/** Figures of one contender over the rounds, in one number with its spread. */
export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
  /** In the order in which they were measured. */
  readonly rounds: readonly number[];
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  return { median: medianOf(sorted), least: sorted[0]!, most: sorted.at(-1)!, rounds: values };
}

/**
 * The median of what the rounds say in which both took part, each compared with the other's of the same round: the
 * machine's speed drifts.
 */
export function ratioOf(one: Spread, other: Spread): number {
  const both = Math.min(one.rounds.length, other.rounds.length);
  return medianOf(
    one.rounds
      .slice(0, both)
      .map((value, at) => value / other.rounds[at]!)
      .sort((a, b) => a - b),
  );
}

function medianOf(sorted: readonly number[]): number {
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** As a person writes it: three digits that mean something. */
export function shown(value: number): string {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 3;
  return value.toLocaleString('en-US', { maximumFractionDigits: digits });
}
