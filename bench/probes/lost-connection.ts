import { broken, outcomeOf, pause, promise, type Probe } from './probe.js';

/** The server ends the connection while the transaction is idle between two statements. */
export const lostConnection: Probe = {
  name: 'lost-connection',
  title: 'The server ends the connection between two statements',
  poolSize: 2,
  patience: 3_000,
  repetitions: 5,
  async run({ subject, row, keptRows, observer }) {
    const { done } = await outcomeOf(
      subject.transaction(async (handle) => {
        await subject.write(handle, row('before'));
        await observer.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL`,
        );
        await pause(50);
        await subject.write(handle, row('after'));
      }),
    );
    const kept = await keptRows();
    if (done) return broken(kept.length === 0 ? 'reports success, nothing is kept' : 'reports success, keeps a part');
    if (kept.length > 0) return broken('throws, but keeps rows');
    const next = await outcomeOf(subject.transaction((handle) => subject.write(handle, row('next'))));
    return next.done ? promise('throws, the next transaction works') : broken('the next transaction fails too');
  },
};
