import { broken, outcomeOf, promise, type Probe } from './probe.js';

/** Code that uses the injected manager, or a fork of it, below a declared transaction which then fails. */
export const plainManager: Probe = {
  name: 'plain-manager',
  title: "The data source's own manager, or a fork, inside a declared transaction",
  needs: 'writeByPlainManager',
  poolSize: 4,
  patience: 3_000,
  repetitions: 5,
  async run({ subject, row, keptRows }) {
    await outcomeOf(
      subject.transaction(async (handle) => {
        await subject.write(handle, row('declared'));
        await subject.writeByPlainManager!(row('plain'));
        throw new Error('roll back');
      }),
    );
    const kept = await keptRows();
    return kept.includes('plain') ? broken('does not join: its row stays after the rollback') : promise('joins');
  },
};
