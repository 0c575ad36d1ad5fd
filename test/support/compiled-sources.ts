import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { transformFile } from '@swc/core';

const root = path.resolve(import.meta.dirname, '../..');
const configFile = path.join(root, '.swcrc');

/** The workspace's own packages, by the names that programs import them under. */
const packages = { 'nestjs-uow': 'libs/uow/src', '@nestjs-uow/embedded-postgres': 'libs/embedded-postgres/src' };

/**
 * Sources of this repository as JavaScript, for tests that start programs in processes of their own: a loader that
 * compiles them in each takes longer than most of these processes live.
 */
export class CompiledSources implements AsyncDisposable {
  private constructor(private readonly directory: string) {}

  /** @param folders what to compile beside the workspace's packages, from the root of the repository */
  static async of(...folders: string[]): Promise<CompiledSources> {
    // Programs find all other packages from here as from the root.
    const cache = path.join(root, 'node_modules/.cache');
    await mkdir(cache, { recursive: true });
    const directory = await mkdtemp(path.join(cache, 'nestjs-uow-test-'));
    const compileTo = async (target: string, folder: string): Promise<void> => {
      await compile(path.join(root, folder), path.join(directory, target));
    };
    await describePackage(directory, {});
    await Promise.all([
      ...folders.map(async (folder) => await compileTo(folder, folder)),
      ...Object.entries(packages).map(async ([name, folder]) => {
        const target = path.join('node_modules', name);
        await compileTo(target, folder);
        await describePackage(path.join(directory, target), { exports: { '.': './index.js', './*': './*/index.js' } });
      }),
    ]);
    return new CompiledSources(directory);
  }

  /** @param source from the root of the repository, in one of the folders */
  programOf(source: string): string {
    return path.join(this.directory, source.replace(/\.ts$/, '.js'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }
}

async function compile(from: string, to: string): Promise<void> {
  const sources = (await readdir(from, { recursive: true })).filter((name) => /(?<!\.test)\.ts$/.test(name));
  await Promise.all(
    sources.map(async (name) => {
      const { code } = await transformFile(path.join(from, name), { configFile, sourceMaps: false });
      const target = path.join(to, name.replace(/\.ts$/, '.js'));
      await mkdir(path.dirname(target), { recursive: true });
      await writeFile(target, code);
    }),
  );
}

async function describePackage(directory: string, contents: { readonly exports?: object }): Promise<void> {
  await mkdir(directory, { recursive: true });
  await writeFile(path.join(directory, 'package.json'), JSON.stringify({ type: 'module', ...contents }));
}
