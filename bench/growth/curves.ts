/** What is made larger, and what is looked at. */
export interface Curve {
  readonly name: 'rows' | 'identity map' | 'depth' | 'concurrency';
  readonly title: string;
  readonly xTitle: string;
  readonly sizes: readonly number[];
  /** Left out of a quick run. */
  readonly longSizes?: readonly number[];
}

export const curves: readonly Curve[] = [
  {
    name: 'rows',
    title: 'Rows inserted in one flush',
    xTitle: 'rows',
    sizes: [100, 1_000, 10_000, 100_000],
    longSizes: [1_000_000],
  },
  {
    name: 'identity map',
    title: 'A flush that finds nothing changed',
    xTitle: 'objects in the session',
    sizes: [100, 1_000, 10_000, 100_000],
  },
  {
    name: 'depth',
    title: 'NESTED scopes inside each other, a row in each',
    xTitle: 'depth',
    sizes: [1, 4, 16, 64, 256],
  },
  {
    name: 'concurrency',
    title: '2,000 transfers on a pool of 16',
    xTitle: 'at a time',
    sizes: [1, 4, 16, 64, 256],
  },
];
