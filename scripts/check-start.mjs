// Proves what the README says of a fresh clone: `npm start` answers /health within 30 seconds, and SIGTERM ends it, all of it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const limit = 30_000;

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

const port = await freePort();
const started = Date.now();
// A group of its own, so that nothing outlives this check even if the check itself fails.
const app = spawn('npm', ['start'], {
  env: { ...process.env, PORT: String(port) },
  stdio: ['ignore', 'inherit', 'inherit'],
  detached: true,
});
let ended = false;
const exit = once(app, 'exit').then(([code, signal]) => {
  ended = true;
  return { code, signal };
});

try {
  for (;;) {
    if (ended) throw new Error('npm start ended before it answered');
    if (Date.now() - started > limit) throw new Error(`no answer within ${limit} ms`);
    const response = await fetch(`http://127.0.0.1:${port}/health`).catch(() => undefined);
    if (response?.ok) break;
    await response?.body?.cancel();
    await sleep(100);
  }
  console.log(`/health answered after ${Date.now() - started} ms`);

  // To npm alone, as a supervisor sends it; Ctrl-C reaches the whole group.
  process.kill(app.pid, 'SIGTERM');
  const { code, signal } = await Promise.race([
    exit,
    sleep(15_000).then(() => {
      throw new Error('still running 15 s after SIGTERM');
    }),
  ]);
  console.log(`ended with ${signal ?? code}`);
  const still = await fetch(`http://127.0.0.1:${port}/health`).then(
    () => true,
    () => false,
  );
  if (still) throw new Error('the application outlived npm start');
} finally {
  try {
    process.kill(-app.pid, 'SIGKILL');
  } catch {
    // Nobody of the group is left.
  }
}
process.exit(0);
