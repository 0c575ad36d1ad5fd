import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { CompiledSources } from '../../../test/support/compiled-sources.js';
import { ControlDirectory } from '../src/control-directory.js';
import { startEmbeddedPostgres } from '../src/index.js';
import { identifyProcess } from '../src/process-identity.js';
import { fixtures, HolderProcess } from './holder-process.js';

const holders: HolderProcess[] = [];
let compiled: CompiledSources;
let home: string;
let dataDirectory: string;

async function holder(directory = dataDirectory): Promise<HolderProcess> {
  const started = await HolderProcess.start(compiled, directory);
  holders.push(started);
  return started;
}

async function until(condition: () => boolean): Promise<void> {
  for (let patience = 3_000; !condition(); patience--) {
    if (patience === 0) throw new Error('What was waited for did not happen.');
    await sleep(10);
  }
}

const runs = (pid: number): boolean => identifyProcess(pid) !== undefined;

beforeAll(async () => {
  compiled = await CompiledSources.of(fixtures);
  home = await mkdtemp(path.join(tmpdir(), 'embedded-postgres-test-'));
  await chmod(home, 0o755);
  dataDirectory = path.join(home, 'data');
});
afterEach(async () => {
  await Promise.all(holders.splice(0).map(async (started) => await started.end('SIGKILL')));
  const pid = new ControlDirectory(dataDirectory).readRecord()?.postmaster?.pid;
  // Whatever a failed test left running is joined and then stopped.
  if (pid !== undefined && runs(pid)) await (await startEmbeddedPostgres({ dataDirectory })).stop();
});
afterAll(async () => {
  await compiled[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
});

test('two that start at once share one server, and the last to leave stops it', async () => {
  const [one, two] = await Promise.all([holder(), holder()]);
  expect([one.held.adopted, two.held.adopted].sort()).toEqual([false, true]);
  expect(two.held.pid).toBe(one.held.pid);
  expect(await one.end('stop')).toBe('0');
  const client = new pg.Client(two.held.url);
  await client.connect();
  await client.end();
  expect(await two.end('stop')).toBe('0');
  expect(runs(two.held.pid)).toBe(false);
});

test('a server whose holder was killed is adopted, and stopped in its turn', async () => {
  const killed = await holder();
  expect(await killed.end('SIGKILL')).toBe('SIGKILL');
  expect(runs(killed.held.pid)).toBe(true);
  const cluster = await startEmbeddedPostgres({ dataDirectory });
  expect(cluster).toMatchObject({ adopted: true, pid: killed.held.pid, port: killed.held.port });
  await cluster.stop();
  expect(runs(killed.held.pid)).toBe(false);
});

test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
  '%s stops the server, and ends the process as usual',
  async (signal) => {
    const signalled = await holder();
    expect(await signalled.end(signal)).toBe(signal);
    expect(runs(signalled.held.pid)).toBe(false);
  },
);

test('process.exit stops the server too', async () => {
  const exiting = await holder();
  expect(await exiting.end('exit')).toBe('0');
  await until(() => !runs(exiting.held.pid));
});

test('a server that was killed with its holder is started anew', async () => {
  const killed = await holder();
  process.kill(killed.held.pid, 'SIGKILL');
  await killed.end('SIGKILL');
  await until(() => !runs(killed.held.pid));
  expect(existsSync(path.join(dataDirectory, 'pgdata', 'postmaster.pid'))).toBe(true);
  const cluster = await startEmbeddedPostgres({ dataDirectory });
  expect(cluster.adopted).toBe(false);
  await cluster.stop();
});

test('a server that died under its holder is replaced, and the old holder may be the last to leave', async () => {
  const first = await startEmbeddedPostgres({ dataDirectory });
  process.kill(first.pid, 'SIGKILL');
  await until(() => !runs(first.pid));
  const second = await startEmbeddedPostgres({ dataDirectory });
  expect(second.adopted).toBe(false);
  await second.stop();
  expect(runs(second.pid)).toBe(true);
  await first.stop();
  expect(runs(second.pid)).toBe(false);
});

test('a throwaway cluster disappears when its process is killed', async () => {
  const killed = await holder('');
  const client = new pg.Client(killed.held.url);
  client.on('error', () => undefined);
  await client.connect();
  const { rows } = await client.query<{ directory: string }>(`SELECT current_setting('data_directory') AS directory`);
  const directory = path.dirname(rows[0]?.directory ?? '');
  expect(existsSync(directory)).toBe(true);
  await killed.end('SIGKILL');
  await until(() => !runs(killed.held.pid) && !existsSync(directory));
  await client.end().catch(() => undefined);
});

test('a lock whose process died is taken over', async () => {
  const control = new ControlDirectory(dataDirectory);
  const lock = path.join(dataDirectory, 'lock');
  await control.exclusively(async () => {
    // As a process leaves it that is killed while it starts or stops the server.
    const note = JSON.parse(await readFile(lock, 'utf8')) as object;
    await writeFile(lock, JSON.stringify({ ...note, started: 'before the last reboot' }));
    expect(await control.exclusively(async () => await Promise.resolve('inside'))).toBe('inside');
  });
});

test('only one is inside at a time, also when many find the lock abandoned', async () => {
  const controls = Array.from({ length: 8 }, () => new ControlDirectory(dataDirectory));
  await controls[0]?.exclusively(async () => {
    const lock = path.join(dataDirectory, 'lock');
    const note = JSON.parse(await readFile(lock, 'utf8')) as object;
    await writeFile(lock, JSON.stringify({ ...note, pid: 2_147_483_646 }));
    let inside = 0;
    await Promise.all(
      controls.slice(1).map(async (control) => {
        await control.exclusively(async () => {
          expect(++inside).toBe(1);
          await sleep(5);
          inside--;
        });
      }),
    );
  });
});
