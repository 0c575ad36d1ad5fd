import { broken, outcomeOf, pause, promise, type Probe } from './probe.js';

/** The server refuses BEGIN on each connection of the pool in turn. */
export const failedBegin: Probe = {
  name: 'failed-begin',
  title: 'BEGIN fails',
  poolSize: 2,
  patience: 3_000,
  repetitions: 5,
  async run({ subject, row, keptRows, proxy }) {
    proxy.spoilBegins(2);
    const failed = [];
    for (const name of ['first', 'second']) {
      failed.push(await outcomeOf(subject.transaction((handle) => subject.write(handle, row(name)))));
    }
    proxy.spoilBegins(0);
    const kept = await keptRows();
    if (kept.length > 0) return broken('writes without a transaction');
    if (failed.some(({ done }) => done)) return broken('reports success');
    const next = await Promise.race([
      outcomeOf(subject.transaction((handle) => subject.write(handle, row('next')))),
      pause(1_500),
    ]);
    if (next === undefined) return { ...broken('the connection is lost for good'), spent: true };
    return next.done ? promise('throws, the connection stays usable') : broken('the next transaction fails too');
  },
};
