// Emits the library twice, as ES modules and as CommonJS, each with its own declarations.
import { spawn } from 'node:child_process';
import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');

function compile(project) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [tsc, '-p', here(project)], { stdio: 'inherit' });
    child.on('error', reject);
    child.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`tsc -p ${project} failed`))));
  });
}

// The registry shows the README that lies beside package.json.
if (process.argv.includes('--pack')) await copyFile(here('../../README.md'), here('README.md'));

await rm(here('dist'), { recursive: true, force: true });
await mkdir(here('dist/cjs'), { recursive: true });
// Without this, Node and TypeScript would take the .js files of this folder for ES modules.
await writeFile(here('dist/cjs/package.json'), '{ "type": "commonjs" }\n');

const outcomes = await Promise.allSettled([compile('tsconfig.esm.json'), compile('tsconfig.cjs.json')]);
for (const outcome of outcomes) {
  if (outcome.status === 'rejected') {
    console.error(outcome.reason.message);
    process.exitCode = 1;
  }
}
