import { broken, nameOf, outcomeOf, promise, type Probe } from './probe.js';

/** A statement fails, the code catches the error and returns normally. PostgreSQL answers COMMIT with ROLLBACK. */
export const swallowedError: Probe = {
  name: 'swallowed-error',
  title: 'A failed statement is caught inside the transaction and the work returns normally',
  poolSize: 2,
  patience: 3_000,
  repetitions: 5,
  async run({ subject, row, keptRows }) {
    const { done, error } = await outcomeOf(
      subject.transaction(async (handle) => {
        await subject.write(handle, row('work'));
        await subject.write(handle, row('work')).catch(() => undefined);
      }),
    );
    const kept = await keptRows();
    if (done) return kept.length === 0 ? broken('reports success, nothing is kept') : promise('keeps the work');
    return kept.length === 0 ? promise(`throws \`${nameOf(error)}\``) : broken('throws, but keeps rows');
  },
};
