import { availableParallelism } from 'node:os';

/** What was started for the same measurement, and ends together. */
export interface Together<Started> extends AsyncDisposable {
  readonly all: readonly Started[];
}

/**
 * Starts as many at a time as there are processors: each is waited for only so long, and dozens of them take turns.
 *
 * @returns them in their order
 * @throws what the first that failed throws, once the others have ended
 */
export async function startTogether<Started extends AsyncDisposable>(
  starts: readonly (() => Promise<Started>)[],
): Promise<Together<Started>> {
  const all: Started[] = [];
  const end = async (): Promise<void> => {
    await Promise.all(all.map((one) => one[Symbol.asyncDispose]()));
  };
  const atATime = availableParallelism();
  for (let at = 0; at < starts.length; at += atATime) {
    const settled = await Promise.allSettled(starts.slice(at, at + atATime).map((start) => start()));
    for (const one of settled) if (one.status === 'fulfilled') all.push(one.value);
    const failed = settled.find((one) => one.status === 'rejected');
    if (failed !== undefined) {
      await end();
      throw failed.reason;
    }
  }
  return { all, [Symbol.asyncDispose]: end };
}
