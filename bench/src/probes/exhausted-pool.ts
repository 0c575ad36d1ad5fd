import { barrier, nameOf, outcomeOf, promise, broken, type Probe } from './probe.js';

/** Every connection is held by a transaction that waits for a second one. */
export const exhaustedPool: Probe = {
  name: 'exhausted-pool',
  title: 'Two outer transactions on a pool of two, each wants REQUIRES_NEW',
  poolSize: 2,
  patience: 3_000,
  repetitions: 5,
  async run({ subject, row }) {
    const meet = barrier(2);
    const outer = (name: string): ReturnType<typeof outcomeOf> =>
      outcomeOf(
        subject.transaction(async (handle) => {
          await subject.write(handle, row(name));
          await meet();
          await subject.requiresNew(async (inner) => {
            await subject.write(inner, row(`${name}, inner`));
          });
        }),
      );
    const outcomes = await Promise.all([outer('first'), outer('second')]);
    const refused = outcomes.find(({ done }) => !done);
    if (refused === undefined) return promise('both succeed');
    const next = await outcomeOf(subject.transaction((handle) => subject.write(handle, row('next'))));
    return next.done ? promise(`refused at once: \`${nameOf(refused.error)}\``) : broken('the pool stays unusable');
  },
};
