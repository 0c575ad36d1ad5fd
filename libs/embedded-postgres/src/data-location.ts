import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, chown, cp, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { EmbeddedPostgresError } from './embedded-postgres-error.js';
import { canEnter, type ServerUser } from './server-user.js';

/** Where data goes whose own directory the server's user cannot reach; only root comes here. */
const relocatedRoots = ['/var/lib/nestjs-uow/embedded-postgres', '/var/tmp/nestjs-uow-data-0'];

interface Pointer {
  readonly pgdata: string;
  /** The directory that points, so that a copy of a clone does not share the data of the original. */
  readonly device: number;
  readonly inode: number;
}

/**
 * Decides where a cluster's files lie and who runs it. Normally that is `pgdata` in the given directory. When root
 * works in a directory that only root may enter, the server (which must not be root) could not reach it there; then
 * the files lie under /var/lib, and `location.json` in the directory points to them, so that they are found again, also
 * after the directory was renamed.
 *
 * @param directory the cluster's directory, existing
 * @param choose the choice of user for existing data
 * @throws EmbeddedPostgresError `DIRECTORY_NOT_USABLE`
 */
export async function chooseDataLocation(
  directory: string,
  choose: (pgdata?: string) => Promise<ServerUser>,
): Promise<{ readonly pgdata: string; readonly user: ServerUser }> {
  const inside = path.join(directory, 'pgdata');
  const pointed = await readPointer(directory);
  if (pointed !== undefined) return { pgdata: pointed, user: await choose(pointed) };
  const user = await choose(inside);
  if (await canEnter(user, directory)) return { pgdata: inside, user };
  for (const root of relocatedRoots) {
    const home = path.join(root, `${path.basename(path.dirname(directory))}-${randomUUID()}`);
    const pgdata = path.join(home, 'pgdata');
    try {
      await mkdir(home, { recursive: true, mode: 0o711 });
      await chmod(home, 0o711);
      if (!(await canEnter(user, home))) throw new Error(`${user.name} cannot enter it`);
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
  if (self.dev !== pointer.device || self.ino !== pointer.inode) return undefined;
  return pointer.pgdata;
}

async function writePointer(directory: string, pgdata: string): Promise<void> {
  const self = await stat(directory);
  const pointer: Pointer = { pgdata, device: self.dev, inode: self.ino };
  await writeFile(path.join(directory, 'location.json'), JSON.stringify(pointer));
}

async function move(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EXDEV') throw error;
    const owner = await stat(from);
    await cp(from, to, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
    await chown(to, owner.uid, owner.gid);
    await rm(from, { recursive: true });
  }
}
