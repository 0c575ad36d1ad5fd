import { broken, outcomeOf, promise, type Probe } from './probe.js';

/** NESTED sees what the outer transaction wrote, and goes with it when the outer one rolls back. */
export const savepoint: Probe = {
  name: 'savepoint',
  title: 'NESTED is a savepoint',
  needs: 'nested',
  poolSize: 4,
  patience: 3_000,
  repetitions: 5,
  async run({ subject, row, keptRows }) {
    const seen: boolean[] = [];
    await outcomeOf(
      subject.transaction(async (outer) => {
        await subject.write(outer, row('outer'));
        await subject.nested!(outer, async (inner) => {
          seen.push(await subject.sees(inner, row('outer')));
          await subject.write(inner, row('inner'));
        });
        throw new Error('the outer one fails');
      }),
    );
    const kept = await keptRows();
    const faults = [
      ...(seen.includes(true) ? [] : ["does not see the outer's rows"]),
      ...(kept.includes('inner') ? ['stays committed when the outer rolls back'] : []),
      ...(kept.includes('outer') ? ['the outer stays committed'] : []),
    ];
    return faults.length === 0 ? promise('yes') : broken(faults.join(', '));
  },
};
