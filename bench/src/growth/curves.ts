/** What is made larger, and what is looked at. */
export interface Curve {
  readonly name: 'rows' | 'identity map' | 'depth' | 'concurrency' | 'bulk' | 'stream';
  readonly title: string;
  readonly xTitle: string;
  readonly sizes: readonly number[];
  /** Left out of a quick run. */
  readonly longSizes?: readonly number[];
  /** What else does the same, by hand. */
  readonly beside?: { readonly name: 'copy'; readonly label: string };
  /** Memory is shown, too. */
  readonly showsMemory?: true;
}

export type Measure = Curve['name'] | NonNullable<Curve['beside']>['name'];

export const curves: readonly Curve[] = [
  {
    name: 'rows',
    title: 'Rows inserted in one flush',
    xTitle: 'rows',
    sizes: [100, 1_000, 10_000, 100_000],
    longSizes: [1_000_000],
    showsMemory: true,
  },
  {
    name: 'bulk',
    title: 'bulkInsert of rows of ten columns',
    xTitle: 'rows',
    sizes: [100, 1_000, 10_000, 100_000],
    longSizes: [1_000_000],
    beside: { name: 'copy', label: 'COPY, by pg-copy-streams' },
    showsMemory: true,
  },
  {
    name: 'stream',
    title: 'Rows streamed',
    xTitle: 'rows',
    sizes: [1_000, 10_000, 100_000],
    longSizes: [1_000_000, 10_000_000],
    showsMemory: true,
  },
  {
    name: 'identity map',
    title: 'A flush that finds nothing changed',
    xTitle: 'objects in the session',
    sizes: [100, 1_000, 10_000, 100_000],
    longSizes: [1_000_000],
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
