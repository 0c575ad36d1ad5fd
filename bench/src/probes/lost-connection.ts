import { broken, outcomeOf, pause, promise, type Probe } from './probe.js';

/** The server ends the connection of a transaction that is idle between two statements; as often as the pool is large. */
export const lostConnection: Probe = {
  name: 'lost-connection',
  title: 'The server ends the connection between two statements',
  poolSize: 2,
  patience: 4_000,
  repetitions: 5,
  async run({ subject, row, keptRows, observer }) {
    const outcomes = [];
    for (const name of ['first', 'second']) {
      const outcome = await outcomeOf(
        subject.transaction(async (handle) => {
          await subject.write(handle, row(name));
          await observer.query(
            `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
              WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL`,
          );
          await pause(50);
          await subject.write(handle, row(`${name}, after`));
        }),
      );
      outcomes.push(outcome);
    }
    const kept = await keptRows();
    if (outcomes.some(({ done }) => done)) {
      return broken(kept.length === 0 ? 'reports success, nothing is kept' : 'reports success, keeps a part');
    }
    if (kept.length > 0) return broken('throws, but keeps rows');
    const next = await Promise.race([
      outcomeOf(subject.transaction((handle) => subject.write(handle, row('next')))),
      pause(1_500),
    ]);
    if (next === undefined)
      return { ...broken("throws, but the connection's place in the pool is lost for good"), spent: true };
    return next.done ? promise('throws, the next transaction works') : broken('the next transaction fails too');
  },
};
