// Proves what the README says of a fresh clone: `npm start` answers /health within 30 seconds. Then that SIGTERM and
// Ctrl-C end it, all of it, in good order.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Whether the application answers that it is well. */
async function isHealthy(port) {
  const response = await fetch(`http://127.0.0.1:${port}/health`, { signal: AbortSignal.timeout(5_000) }).catch(
    () => undefined,
  );
  await response?.body?.cancel();
  return response?.ok === true;
}

/** @param end sends the signal, given npm's process id, which is also its group's */
async function check(name, end) {
  const port = await freePort();
  const started = Date.now();
  // A group of its own, as in a terminal.
  const npm = spawn('npm', ['start'], {
    env: { ...process.env, PORT: String(port) },
    stdio: ['ignore', 'inherit', 'inherit'],
    detached: true,
  });
  let outcome;
  npm.once('exit', (code, signal) => (outcome = signal ?? code));
  try {
    while (!(await isHealthy(port))) {
      if (outcome !== undefined) throw new Error(`npm start ended before it answered, with ${outcome}`);
      if (Date.now() - started > 30_000) throw new Error('npm start gave no answer within 30 s');
      await sleep(100);
    }
    console.log(`/health answered after ${Date.now() - started} ms`);

    const asked = Date.now();
    const expected = end(npm.pid);
    while (outcome === undefined) {
      if (Date.now() - asked > 15_000) throw new Error(`npm start still runs 15 s after ${name}`);
      await sleep(20);
    }
    if (outcome !== 0 && outcome !== expected) throw new Error(`npm start ended with ${outcome} after ${name}`);
    if (await isHealthy(port)) throw new Error(`the application outlived npm start after ${name}`);
    console.log(`ended ${Date.now() - asked} ms after ${name}`);
  } finally {
    try {
      process.kill(-npm.pid, 'SIGKILL');
      console.log(`processes of npm start were left after ${name}`);
      process.exitCode = 1;
    } catch {
      // Nobody of the group is left.
    }
  }
}

// A supervisor signals npm alone.
await check('SIGTERM', (pid) => {
  process.kill(pid, 'SIGTERM');
  return 'SIGTERM';
});
// A terminal signals the whole group, and npm passes the signal on: the application gets it twice.
await check('Ctrl-C', (pid) => {
  process.kill(-pid, 'SIGINT');
  return 'SIGINT';
});
