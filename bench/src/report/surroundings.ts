import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);

/** The machine in one line. */
export function machine(): string {
  const [cpu] = os.cpus();
  return `${os.cpus().length} × ${cpu?.model.trim() ?? 'unknown'}, ${Math.round(os.totalmem() / 2 ** 30)} GiB, ${os.type()} ${os.release()}`;
}

/** Of everything that is measured. */
export function versions(): Record<string, string> {
  const packages = [
    'pg',
    'typeorm',
    'typeorm-transactional',
    'nestjs-cls',
    '@nestjs-cls/transactional',
    '@nestjs-cls/transactional-adapter-typeorm',
    '@mikro-orm/postgresql',
    'drizzle-orm',
    '@nestjs/core',
    'nestjs-uow',
  ];
  return Object.fromEntries(packages.map((name) => [name, versionOf(name)]));
}

function versionOf(name: string): string {
  for (const directory of require.resolve.paths(name) ?? []) {
    try {
      return JSON.parse(readFileSync(path.join(directory, name, 'package.json'), 'utf8')).version as string;
    } catch {
      // Not there; further up.
    }
  }
  return 'not found';
}

/** What the documentation shows. */
export const referenceDirectory = fileURLToPath(new URL('../../results/reference/', import.meta.url));

/** Where a run writes. */
export const resultsDirectory = fileURLToPath(new URL('../../results/', import.meta.url));
