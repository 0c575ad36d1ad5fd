import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';

const here = dirname(fileURLToPath(import.meta.url));
const workspace = join(here, '../..');

// What npm tells the scripts that it runs must not reach the npm of another project.
const environment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^(npm_|INIT_CWD$|NODE_OPTIONS$|JEST_WORKER_ID$)/i.test(name)),
);

function run(cwd: string, file: string, args: readonly string[], env: Record<string, string> = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { cwd, env: { ...environment, ...env }, maxBuffer: 32e6 };
    execFile(file, args, options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${file} ${args.join(' ')} failed\n${stdout}\n${stderr}`, { cause: error }));
    });
  });
}

const tool = (path: string, ...args: string[]): Promise<string> =>
  run(workspace, process.execPath, [join(workspace, 'node_modules', path), ...args]);

let directory: string;
let tarball: string;
let packed: string[];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nestjs-uow-packaging-'));
  const [pack] = JSON.parse(
    // The library is built by its "prepack"; --silent keeps that out of the answer.
    await run(workspace, 'npm', [
      'pack',
      '--workspace=nestjs-uow',
      '--json',
      '--silent',
      `--pack-destination=${directory}`,
    ]),
  ) as [{ filename: string; files: { path: string }[] }];
  tarball = join(directory, pack.filename);
  packed = pack.files.map(({ path }) => path);
});

afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});

test('it holds the two builds, the sources that their maps point to, and no test', () => {
  expect(packed).toEqual(
    expect.arrayContaining([
      'LICENSE',
      'README.md',
      'package.json',
      'dist/cjs/index.d.ts',
      'dist/cjs/index.js',
      'dist/cjs/package.json',
      'dist/cjs/testing/index.js',
      'dist/esm/index.d.ts',
      'dist/esm/index.js',
      'dist/esm/testing/index.js',
      'src/index.ts',
    ]),
  );
  expect(packed.filter((path) => !/^(dist\/(cjs|esm)\/|src\/|package\.json$|LICENSE$|README\.md$)/.test(path))).toEqual(
    [],
  );
  expect(packed.filter((path) => /\.test\.|tsbuildinfo|fixtures/.test(path))).toEqual([]);
});

test('publint finds nothing', async () => {
  expect(await tool('publint/src/cli.js', 'run', tarball, '--strict')).toContain('All good!');
});

test('its types are right for ES modules, CommonJS and bundlers', async () => {
  // node10 knows no "exports", so it cannot find nestjs-uow/testing; Nest 11 and 12 need newer resolution anyway.
  await tool('@arethetypeswrong/cli/dist/index.js', tarball, '--profile', 'node16', '--no-emoji');
});

/** Versions are exact, so that a release elsewhere does not change what is tested here. */
const projects = {
  'NestJS 12 and TypeORM 1': {
    '@nestjs/common': '12.5.1',
    '@nestjs/core': '12.5.1',
    '@nestjs/typeorm': '12.0.2',
    typeorm: '1.1.1',
    typescript: '6.0.3',
  },
  'NestJS 11 and TypeORM 0.3': {
    '@nestjs/common': '11.2.10',
    '@nestjs/core': '11.2.10',
    '@nestjs/typeorm': '11.0.3',
    typeorm: '0.3.31',
    typescript: '5.9.3',
  },
};

describe.each(Object.entries(projects))('with %s', (_name, versions) => {
  let project: string;
  let database: TestDatabase;

  beforeAll(async () => {
    project = await mkdtemp(join(directory, 'project-'));
    const manifest = {
      private: true,
      dependencies: {
        ...versions,
        '@types/node': '20.19.43',
        'nestjs-uow': `file:${tarball}`,
        pg: '8.23.1',
        'reflect-metadata': '0.2.2',
        rxjs: '7.8.2',
      },
    };
    await writeFile(join(project, 'package.json'), JSON.stringify(manifest, null, 2));
    await run(project, 'npm', ['install', '--no-audit', '--no-fund', '--no-package-lock', '--prefer-offline']);
    database = await createTestDatabase();
  });

  afterAll(async () => {
    await database.drop();
  });

  test.each(['nestjs-uow', 'nestjs-uow/testing'])('%s gives the same names to import and to require', async (entry) => {
    const imported = await run(project, process.execPath, [
      '--input-type=module',
      '--eval',
      `import * as entry from '${entry}'; console.log(JSON.stringify(Object.keys(entry).sort()))`,
    ]);
    const required = await run(project, process.execPath, [
      '--input-type=commonjs',
      '--eval',
      `console.log(JSON.stringify(Object.keys(require('${entry}')).sort()))`,
    ]);
    expect(JSON.parse(required)).toEqual(JSON.parse(imported));
    expect(JSON.parse(imported)).not.toEqual([]);
  });

  /** Compiles the user's project and returns the emitted file. */
  async function compile(extension: 'mts' | 'cts'): Promise<string> {
    const sources = join(project, extension);
    await mkdir(sources, { recursive: true });
    await copyFile(join(here, 'consumer/story.ts'), join(sources, `story.${extension}`));
    await writeFile(
      join(sources, 'tsconfig.json'),
      JSON.stringify({
        compilerOptions: {
          target: 'ES2023',
          module: 'nodenext',
          strict: true,
          skipLibCheck: false,
          experimentalDecorators: true,
          emitDecoratorMetadata: true,
          types: ['node'],
          rootDir: '.',
          outDir: './dist',
        },
      }),
    );
    await run(sources, process.execPath, [join(project, 'node_modules/typescript/bin/tsc')]);
    return join(sources, 'dist', `story.${extension.replace('ts', 'js')}`);
  }

  test.each(['mts', 'cts'] as const)('an application in .%s compiles, commits and rolls back', async (extension) => {
    const emitted = await compile(extension);
    const tell = `import(${JSON.stringify(emitted)}).then((user) => user.story()).then((told) => console.log(JSON.stringify(told)))`;
    const told = await run(project, process.execPath, ['--eval', tell], { DATABASE_URL: database.url });

    expect(JSON.parse(told)).toEqual({
      refusal: 'insufficient funds',
      balances: [
        { id: 'alice', balance: 40 },
        { id: 'bob', balance: 60 },
      ],
    });
  });

  // jest in CommonJS cannot require an ES module on this Node, and NestJS 12 is one.
  if (versions['@nestjs/core'].startsWith('11.')) {
    test('its tests run under jest in CommonJS, without flags', async () => {
      const emitted = await compile('cts');
      await writeFile(
        join(project, 'story.test.js'),
        `const { story } = require(${JSON.stringify(emitted)});
         test('the story', async () => expect((await story()).refusal).toBe('insufficient funds'));`,
      );
      await run(project, process.execPath, [join(workspace, 'node_modules/jest/bin/jest.js'), '--rootDir', project], {
        DATABASE_URL: database.url,
      });
    });
  }
});
