import { barrier, broken, outcomeOf, promise, type Probe } from './probe.js';

/** Two REQUIRES_NEW at once below one outer transaction; one fails. */
export const siblingTransactions: Probe = {
  name: 'sibling-transactions',
  title: 'Two REQUIRES_NEW at once below one outer',
  poolSize: 6,
  patience: 5_000,
  repetitions: 10,
  async run({ subject, row, keptRows }) {
    const meet = barrier(2);
    const meetAgain = barrier(2);
    let good: Awaited<ReturnType<typeof outcomeOf>> | undefined;
    await outcomeOf(
      subject.transaction(async (outer) => {
        await subject.write(outer, row('outer'));
        const first = outcomeOf(
          subject.requiresNew(async (inner) => {
            await meet();
            await subject.write(inner, row('good'));
            await meetAgain();
          }),
        );
        const second = outcomeOf(
          subject.requiresNew(async (inner) => {
            await meet();
            await subject.write(inner, row('bad'));
            await meetAgain();
            throw new Error('this one fails');
          }),
        );
        [good] = await Promise.all([first, second]);
      }),
    );
    const kept = await keptRows();
    if (kept.includes('bad')) return broken('keeps a row of the one that failed');
    if (good?.done === true) {
      return kept.includes('good') ? promise('each on its own') : broken('loses a row whose call had resolved');
    }
    return broken('the good one fails too');
  },
};
