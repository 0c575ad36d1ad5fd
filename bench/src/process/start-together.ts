/** What was started at the same time, and ends together. */
export interface Together<Started> extends AsyncDisposable {
  readonly all: readonly Started[];
}

/** @throws what the first that failed throws, once the others have ended */
export async function startTogether<Started extends AsyncDisposable>(
  starting: readonly Promise<Started>[],
): Promise<Together<Started>> {
  const settled = await Promise.allSettled(starting);
  const all = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const end = async (): Promise<void> => {
    await Promise.all(all.map((one) => one[Symbol.asyncDispose]()));
  };
  const failed = settled.find((one) => one.status === 'rejected');
  if (failed !== undefined) {
    await end();
    throw failed.reason;
  }
  return { all, [Symbol.asyncDispose]: end };
}
