import { broken, outcomeOf, pause, promise, type Probe } from './probe.js';

/**
 * `Promise.all` inside a transaction: one branch throws while the other is in the middle of its writes, and goes on.
 * The throw comes with a write of the other branch in flight; meanwhile the next transaction begins.
 */
export const strayBranch: Probe = {
  name: 'stray-branch',
  title: '`Promise.all` inside: one branch throws, the other goes on writing',
  poolSize: 1,
  patience: 5_000,
  repetitions: 5,
  async run({ subject, row, keptRows }) {
    let written = 0;
    let thirdIsWritten!: () => void;
    const third = new Promise<void>((resolve) => {
      thirdIsWritten = resolve;
    });
    let straying: Promise<void> | undefined;
    let refused: unknown;
    const { done } = await outcomeOf(
      subject.transaction(async (handle) => {
        straying = (async () => {
          for (let i = 0; i < 30; i++) {
            try {
              await subject.write(handle, row(`branch ${i}`));
            } catch (error) {
              refused = error;
              return;
            }
            written += 1;
            if (written === 3) thirdIsWritten();
          }
        })();
        await Promise.all([
          straying,
          third.then(() => {
            throw new Error('one branch fails');
          }),
        ]);
      }),
    );
    await outcomeOf(
      subject.transaction(async (handle) => {
        await subject.write(handle, row('next'));
        await pause(60);
      }),
    );
    await straying;
    const stray = (await keptRows()).filter((name) => name.startsWith('branch'));
    if (done) return broken('reports success');
    if (stray.length > 0)
      return broken(
        stray.length === 1 ? 'a row written after the ROLLBACK stays' : 'rows written after the ROLLBACK stay',
      );
    return promise(refused === undefined ? 'nothing is kept' : 'nothing is kept; later writes are refused');
  },
};
