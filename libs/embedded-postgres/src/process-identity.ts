import { execFileSync } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';

/**
 * A process, told apart from a later one that got the same pid.
 * `started` is opaque: equal only for the same process since the same boot.
 */
export interface ProcessIdentity {
  readonly pid: number;
  readonly started: string;
  /** Where pids are counted: those of another container mean nothing here. */
  readonly namespace?: string;
}

let ownIdentity: ProcessIdentity | undefined;
let bootId: string | undefined;
let ownNamespace: string | undefined;

/** The running process itself. */
export function currentProcess(): ProcessIdentity {
  ownIdentity ??= identifyProcess(process.pid) ?? { pid: process.pid, started: 'unknown' };
  return ownIdentity;
}

/** The process that has this pid now, or undefined when there is none (a zombie counts as none). */
export function identifyProcess(pid: number): ProcessIdentity | undefined {
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined;
  if (process.platform === 'linux') return identifyOnLinux(pid);
  if (!signalReaches(pid)) return undefined;
  if (process.platform === 'win32') return { pid, started: 'unknown' };
  try {
    const started = execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], {
      encoding: 'utf8',
      env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' },
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
    return started === '' ? undefined : { pid, started };
  } catch {
    return undefined;
  }
}

/** Whether that very process is still running. One that ran in another container counts as gone. */
export function isAlive(identity: ProcessIdentity): boolean {
  return !isElsewhere(identity) && identifyProcess(identity.pid)?.started === identity.started;
}

/** Whether the process belongs to another container of this machine, so that nothing can be said of it. */
export function isElsewhere(identity: ProcessIdentity): boolean {
  return identity.namespace !== undefined && identity.namespace !== pidNamespace();
}

/** Whether the pid is that of a process that has ended and waits for its parent to notice, which some never do. */
export function isZombie(pid: number): boolean {
  return process.platform === 'linux' && readStat(pid)?.[0] === 'Z';
}

/** Fields 3 and following of /proc/pid/stat. */
function readStat(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the command in parentheses and may itself contain both blanks and parentheses.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

function identifyOnLinux(pid: number): ProcessIdentity | undefined {
  const fields = readStat(pid);
  const [state, startTicks] = [fields?.[0], fields?.[19]];
  if (state === 'Z' || state === 'X' || startTicks === undefined) return undefined;
  // Ticks count from the boot, so without its id a process from before a reboot could look alive.
  bootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  return { pid, started: `${bootId}/${startTicks}`, namespace: pidNamespace() };
}

function pidNamespace(): string {
  ownNamespace ??= readNamespace();
  return ownNamespace;
}

function readNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return 'unknown';
  }
}

function signalReaches(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
