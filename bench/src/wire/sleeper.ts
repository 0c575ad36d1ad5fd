// The thread behind an alarm: it sleeps until the instant it was told, and says when it woke.
import { parentPort, workerData } from 'node:worker_threads';
import { alarmState, monotonic } from './alarm.js';

const { times, due } = alarmState(workerData as SharedArrayBuffer);
for (let rung = 0; ; rung++) {
  parentPort!.postMessage(rung);
  Atomics.wait(times, 0, rung);
  const left = due[0]! - monotonic();
  if (left > 0) Atomics.wait(times, 0, rung + 1, left);
}
