import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chown, cp, lchown, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { EmbeddedPostgresError } from './embedded-postgres-error.js';
import { makeReachableDirectory } from './reachable-directory.js';
import { canEnter, chooseServerUser, type ServerUser } from './server-user.js';

/**
 * Where a cluster's files lie. Normally that is `pgdata` in the cluster's own directory. When root works in a directory
 * that only root may enter, the server (which must not be root) could not reach it there; then the files lie under
 * /var/lib, and `location.json` in the directory points to them.
 */
const relocatedRoots = ['/var/lib/nestjs-uow/embedded-postgres', '/var/tmp/nestjs-uow-data-0'];

interface Pointer {
  readonly pgdata: string;
  /** The directory that points, so that a copy of a clone does not share the data of the original; renaming keeps it. */
  readonly device: number;
  readonly inode: number;
}

/** Where the files of this cluster are, or would be if nothing is in the way. */
export async function findData(directory: string): Promise<string> {
  return (await readPointer(directory)) ?? path.join(directory, 'pgdata');
}

/**
 * Decides where the files go, and who runs the server on them.
 *
 * @param directory the cluster's directory, existing
 * @throws EmbeddedPostgresError `DIRECTORY_NOT_USABLE`
 */
export async function placeData(directory: string): Promise<{ readonly pgdata: string; readonly user: ServerUser }> {
  const found = await findData(directory);
  const inside = path.join(directory, 'pgdata');
  const user = await chooseServerUser(found);
  if (await canEnter(user, path.dirname(found))) return { pgdata: found, user };
  for (const root of relocatedRoots) {
    const home = path.join(root, `${path.basename(path.dirname(path.dirname(directory)))}-${randomUUID()}`);
    const pgdata = path.join(home, 'pgdata');
    try {
      makeReachableDirectory(home, 0o711);
      if (!(await canEnter(user, home))) throw new Error(`${user.name} cannot enter ${home}`);
    } catch {
      await rm(home, { recursive: true, force: true });
      continue;
    }
    // Data from a time when the directory could be reached moves along.
    if (existsSync(inside)) await move(inside, pgdata);
    await writePointer(directory, pgdata);
    return { pgdata, user };
  }
  throw new EmbeddedPostgresError(
    'DIRECTORY_NOT_USABLE',
    `PostgreSQL refuses to run as root, its user (${user.name}) cannot enter ${directory}, and no place for the data was found under ${relocatedRoots.join(' or ')}. Let others pass through the directory (chmod o+x on it and its parents), or start as an ordinary user.`,
  );
}

async function readPointer(directory: string): Promise<string | undefined> {
  const text = await readFile(path.join(directory, 'location.json'), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const pointer = JSON.parse(text) as Pointer;
  const self = await stat(directory);
  return self.dev === pointer.device && self.ino === pointer.inode ? pointer.pgdata : undefined;
}

async function writePointer(directory: string, pgdata: string): Promise<void> {
  const self = await stat(directory);
  const pointer: Pointer = { pgdata, device: self.dev, inode: self.ino };
  const draft = path.join(directory, `location.json.${randomUUID()}`);
  await writeFile(draft, JSON.stringify(pointer));
  await rename(draft, path.join(directory, 'location.json'));
}

async function move(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EXDEV') throw error;
    const draft = `${to}.draft`;
    await cp(from, draft, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
    await giveAllTo(draft, await stat(from));
    await rename(draft, to);
    await rm(from, { recursive: true });
  }
}

async function giveAllTo(directory: string, owner: { readonly uid: number; readonly gid: number }): Promise<void> {
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    await lchown(path.join(entry.parentPath, entry.name), owner.uid, owner.gid);
  }
  await chown(directory, owner.uid, owner.gid);
}
