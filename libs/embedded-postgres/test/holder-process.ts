import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';

const root = path.resolve(import.meta.dirname, '../../..');

/** What `fixtures/holder.ts` got. */
export interface Held {
  readonly port: number;
  readonly pid: number;
  readonly adopted: boolean;
  readonly url: string;
}

/** Another process that uses a cluster. */
export class HolderProcess {
  readonly #child: ChildProcess;
  readonly #exit: Promise<string>;

  private constructor(
    child: ChildProcess,
    readonly held: Held,
  ) {
    this.#child = child;
    this.#exit = ended(child);
  }

  /** @param directory the data directory, or '' for a throwaway cluster */
  static async start(directory: string): Promise<HolderProcess> {
    const child = spawn(
      process.execPath,
      ['--import', '@swc-node/register/esm-register', path.join(import.meta.dirname, 'fixtures/holder.ts'), directory],
      { cwd: root, stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, NODE_OPTIONS: '' } },
    );
    const exit = ended(child);
    const line = await Promise.race([
      once(createInterface({ input: child.stdout }), 'line').then(([text]) => String(text)),
      exit.then((how) => {
        throw new Error(`The holder ended (${how}) before it had a server.`);
      }),
    ]);
    return new HolderProcess(child, JSON.parse(line) as Held);
  }

  /** Tells it to leave in one way or another; returns its exit code or signal. */
  async end(how: 'stop' | 'exit' | NodeJS.Signals): Promise<string> {
    if (how === 'stop' || how === 'exit') this.#child.stdin?.write(`${how}\n`);
    else this.#child.kill(how);
    return await this.#exit;
  }
}

async function ended(child: ChildProcess): Promise<string> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  return String(child.signalCode ?? child.exitCode);
}
