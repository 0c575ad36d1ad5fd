import { broken, nameOf, outcomeOf, promise, type Probe } from './probe.js';

/** A method that joined fails half-way; its caller catches that and goes on. */
export const failingJoinedScope: Probe = {
  name: 'failing-joined-scope',
  title: 'REQUIRED in REQUIRED throws, the outer catches and goes on',
  needs: 'joined',
  poolSize: 2,
  patience: 3_000,
  repetitions: 5,
  async run({ subject, row, keptRows }) {
    const { done, error } = await outcomeOf(
      subject.transaction(async (outer) => {
        await subject.write(outer, row('outer'));
        await outcomeOf(
          subject.joined!(outer, async (inner) => {
            await subject.write(inner, row('half'));
            throw new Error('before the other half');
          }),
        );
        await subject.write(outer, row('after'));
      }),
    );
    const kept = await keptRows();
    if (kept.includes('half')) return broken('commits the inner half');
    return done ? promise('undoes the inner half only') : promise(`nothing is kept, throws \`${nameOf(error)}\``);
  },
};
