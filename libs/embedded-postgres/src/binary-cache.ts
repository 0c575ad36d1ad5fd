import { createHash, randomUUID } from 'node:crypto';
import { chmod, copyFile, lstat, mkdtemp, readFile, readdir, rename, rm, symlink } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { EmbeddedPostgresError } from './embedded-postgres-error.js';
import { makeReachableDirectory } from './reachable-directory.js';
import { canEnter, isRoot, type ServerUser } from './server-user.js';

const draftLifetimeMs = 3_600_000;

/**
 * A copy of the server's programs at a place that its user can reach, made once for each content and shared by all
 * clones of one user. Nobody but that user (or root) can write to it: a directory that others could have prepared is
 * not used.
 *
 * @param native the installed programs: bin, lib, share
 * @param user who must be able to run the copy
 * @param roots directories to keep copies in; the first that is safe and reachable is taken
 * @returns the copy's directory, laid out as the original
 */
export async function cachedCopy(
  native: string,
  user: ServerUser,
  roots: readonly string[] = cacheRoots(),
): Promise<string> {
  const files = await listFiles(native);
  const key = await contentKey(native, files);
  for (const candidate of roots) {
    const root = await ownDirectory(candidate, user);
    if (root === undefined) continue;
    const target = path.join(root, key);
    if (await isComplete(native, files, target)) return target;
    await build(native, files, root, target);
    return target;
  }
  throw new EmbeddedPostgresError(
    'DIRECTORY_NOT_USABLE',
    `Found no place for a copy of PostgreSQL's programs that its user can reach and nobody else can change. Tried: ${roots.join(', ')}.`,
  );
}

function cacheRoots(): readonly string[] {
  const name = path.join('nestjs-uow', 'embedded-postgres');
  if (isRoot()) return [path.join('/var/cache', name), `/var/tmp/nestjs-uow-0`, `/tmp/nestjs-uow-0`];
  const fallback = path.join(tmpdir(), `nestjs-uow-${process.getuid?.() ?? 'user'}`);
  const cacheHome = process.env['XDG_CACHE_HOME'];
  return [
    path.join(cacheHome !== undefined && path.isAbsolute(cacheHome) ? cacheHome : path.join(homedir(), '.cache'), name),
    fallback,
  ];
}

/** The directory, if it is (or can be made) one that only this user can write and the server's user can enter. */
async function ownDirectory(directory: string, user: ServerUser): Promise<string | undefined> {
  try {
    makeReachableDirectory(directory, user.ids === undefined ? 0o700 : 0o755);
    const found = await lstat(directory);
    if (!found.isDirectory()) return undefined;
    const self = process.getuid?.();
    if (self !== undefined && (found.uid !== self || (found.mode & 0o022) !== 0)) return undefined;
    if (!(await canEnter(user, directory))) return undefined;
    // Proves that it is writable, before anything is decided on it.
    await rm(await mkdtemp(path.join(directory, '.probe-')), { recursive: true });
    await removeOldDrafts(directory);
    return directory;
  } catch {
    return undefined;
  }
}

/** A copy may have been cut short by a kill. */
async function removeOldDrafts(root: string): Promise<void> {
  for (const name of await readdir(root)) {
    if (!/^\.(draft|damaged|probe)-/.test(name)) continue;
    // Another process may be removing it at this moment.
    const found = await lstat(path.join(root, name)).catch(() => undefined);
    if (found !== undefined && Date.now() - found.mtimeMs > draftLifetimeMs)
      await rm(path.join(root, name), { recursive: true, force: true });
  }
}

async function build(native: string, files: readonly string[], root: string, target: string): Promise<void> {
  const draft = path.join(root, `.draft-${randomUUID()}`);
  try {
    for (const file of files) {
      const copy = path.join(draft, file);
      makeReachableDirectory(path.dirname(copy), 0o755);
      await copyFile(path.join(native, file), copy);
      await chmod(copy, /^(bin|lib)[/\\]/.test(file) ? 0o755 : 0o644);
    }
    await linkLibraries(native, draft);
    // Another process may have finished first, or left a damaged copy (cleaners of temporary directories take single files).
    await rename(draft, target).catch(async () => {
      if (await isComplete(native, files, target)) return;
      const damaged = path.join(root, `.damaged-${randomUUID()}`);
      await rename(target, damaged);
      await rename(draft, target);
      await rm(damaged, { recursive: true, force: true });
    });
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/** The package's install script makes these links; where scripts are not run they are missing. */
async function linkLibraries(native: string, copy: string): Promise<void> {
  const list = await readFile(path.join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    const link = path.join(copy, path.relative('native', target));
    makeReachableDirectory(path.dirname(link), 0o755);
    await symlink(path.relative(path.dirname(target), source), link).catch(() => undefined);
  }
}

async function listFiles(native: string): Promise<string[]> {
  const entries = await readdir(native, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && !/\.(a|h|pc)$/.test(entry.name))
    .map((entry) => path.relative(native, path.join(entry.parentPath, entry.name)))
    .sort();
}

async function contentKey(native: string, files: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const file of files) {
    hash.update(`${file}\0`);
    hash.update(await readFile(path.join(native, file)));
  }
  const { version } = JSON.parse(await readFile(path.join(native, '..', 'package.json'), 'utf8')) as {
    version: string;
  };
  return `${version}-${process.platform}-${process.arch}-${hash.digest('hex').slice(0, 16)}`;
}

async function isComplete(native: string, files: readonly string[], copy: string): Promise<boolean> {
  const complete = await Promise.all(
    files.map(async (file) => {
      const original = await lstat(path.join(native, file));
      const copied = await lstat(path.join(copy, file)).catch(() => undefined);
      return copied?.size === original.size;
    }),
  );
  return !complete.includes(false);
}
