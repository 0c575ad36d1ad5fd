import { chmodSync, mkdirSync } from 'node:fs';
import path from 'node:path';

/**
 * Makes a directory and its missing parents with exactly this mode, whatever the umask: a strict one would otherwise
 * shut out the user that root lends the server. What exists already keeps its mode.
 */
export function makeReachableDirectory(directory: string, mode: number): void {
  const first = mkdirSync(directory, { recursive: true, mode });
  if (first === undefined) return;
  for (let made = path.resolve(directory); made.length >= first.length; made = path.dirname(made))
    chmodSync(made, mode);
}
