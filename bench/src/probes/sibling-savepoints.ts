import { barrier, broken, outcomeOf, promise, type Probe } from './probe.js';

/** Two NESTED at once: the failing one must not take the good one's rows along. */
export const siblingSavepoints: Probe = {
  name: 'sibling-savepoints',
  title: 'Two NESTED at once, one fails',
  needs: 'nested',
  poolSize: 4,
  patience: 5_000,
  repetitions: 10,
  async run({ subject, row, keptRows }) {
    const meet = barrier(2);
    const meetAgain = barrier(2);
    let good: Awaited<ReturnType<typeof outcomeOf>> | undefined;
    const whole = await outcomeOf(
      subject.transaction(async (outer) => {
        const first = outcomeOf(
          subject.nested!(outer, async (inner) => {
            await subject.write(inner, row('good 1'));
            await meet();
            await subject.write(inner, row('good 2'));
            await meetAgain();
          }),
        );
        const second = outcomeOf(
          subject.nested!(outer, async (inner) => {
            await subject.write(inner, row('bad'));
            await meet();
            await meetAgain();
            throw new Error('this one fails');
          }),
        );
        [good] = await Promise.all([first, second]);
      }),
    );
    const kept = await keptRows();
    if (kept.includes('bad')) return broken("keeps the failed one's row");
    if (!whole.done) return kept.length === 0 ? broken('everything is aborted') : broken('throws, but keeps rows');
    if (good?.done !== true) return broken('the good one fails too');
    return kept.length === 2
      ? promise("keeps exactly the good one's rows")
      : broken("loses the good one's rows, in silence");
  },
};
