import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { CompiledSources } from '../../../test/support/compiled-sources.js';

/** Where the programs of these tests are. */
export const fixtures = 'libs/embedded-postgres/test/fixtures';

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

  /**
   * @param compiled {@link fixtures} among them
   * @param directory the data directory, or '' for a throwaway cluster
   */
  static async start(compiled: CompiledSources, directory: string): Promise<HolderProcess> {
    const child = spawn(process.execPath, [compiled.programOf(`${fixtures}/holder.ts`), directory], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, NODE_OPTIONS: '' },
    });
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
