import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { ControlDirectory } from './control-directory.js';
import { whenProcessEnds } from './process-end.js';
import type { ProcessIdentity } from './process-identity.js';
import { signalServer, stopServer } from './server-process.js';

/**
 * This process's hold on a cluster, from before its server starts until it leaves: by `leave`, by a signal, or by
 * exiting. The last to leave stops the server.
 */
export class ClusterHold {
  readonly #control: ControlDirectory;
  readonly #ephemeral: boolean;
  readonly #withdraw: () => void;
  readonly #forget: () => void;
  #left: Promise<void> | undefined;
  #server: ProcessIdentity | undefined;

  /**
   * @param ephemeral whether the cluster is deleted by who leaves last
   * @param handleSignals whether to leave on signals that nobody else listens for
   */
  constructor(control: ControlDirectory, ephemeral: boolean, handleSignals: boolean) {
    this.#control = control;
    this.#ephemeral = ephemeral;
    this.#withdraw = control.enter();
    this.#forget = whenProcessEnds({
      stop: async () => {
        await this.leave();
      },
      stopNow: () => {
        this.#leaveNow();
      },
      handleSignals,
    });
  }

  /** Tells which server it is. */
  hasServer(postmaster: ProcessIdentity): void {
    this.#server = postmaster;
  }

  /** Leaves; calling it again waits for the same end. */
  async leave(): Promise<void> {
    this.#left ??= this.#leave();
    await this.#left;
  }

  async #leave(): Promise<void> {
    this.#forget();
    if (!existsSync(this.#control.directory)) {
      // Somebody removed the data under the running server.
      if (this.#server !== undefined) await stopServer(this.#server, 'immediate');
      return;
    }
    await this.#control.exclusively(async () => {
      this.#withdraw();
      if (this.#control.holders().length > 0) return;
      // Asked anew: another process may have replaced a server that crashed.
      const postmaster = this.#control.readRecord()?.postmaster;
      if (postmaster !== undefined) await stopServer(postmaster, this.#ephemeral ? 'immediate' : 'fast');
    });
    if (this.#ephemeral) await rm(this.#control.directory, { recursive: true, force: true, maxRetries: 5 });
  }

  /** The same from an exit handler, which cannot wait for the server; a throwaway cluster is deleted by its watcher. */
  #leaveNow(): void {
    if (!existsSync(this.#control.directory)) {
      if (this.#server !== undefined) signalServer(this.#server, 'immediate');
      return;
    }
    this.#control.exclusivelySync(() => {
      this.#withdraw();
      if (this.#control.holders().length > 0) return;
      const postmaster = this.#control.readRecord()?.postmaster;
      if (postmaster !== undefined) signalServer(postmaster, this.#ephemeral ? 'immediate' : 'fast');
    });
  }
}
