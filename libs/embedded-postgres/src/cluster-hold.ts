import { rm } from 'node:fs/promises';
import type { ControlDirectory } from './control-directory.js';
import { whenProcessEnds } from './process-end.js';
import { isAlive } from './process-identity.js';
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

  /** Leaves; calling it again waits for the same end. */
  async leave(): Promise<void> {
    this.#left ??= this.#leave();
    await this.#left;
  }

  async #leave(): Promise<void> {
    this.#forget();
    await this.#control.exclusively(async () => {
      this.#withdraw();
      if (this.#control.holders().length > 0) return;
      // Asked anew: another process may have replaced a server that crashed.
      const postmaster = this.#control.readRecord()?.postmaster;
      if (postmaster !== undefined && isAlive(postmaster)) {
        await stopServer(postmaster, this.#ephemeral ? 'immediate' : 'fast');
      }
    });
    if (this.#ephemeral) await rm(this.#control.directory, { recursive: true, force: true, maxRetries: 5 });
  }

  /** The same from an exit handler, which cannot wait for the server; a throwaway cluster is deleted by its watcher. */
  #leaveNow(): void {
    this.#control.exclusivelySync(() => {
      this.#withdraw();
      if (this.#control.holders().length > 0) return;
      const postmaster = this.#control.readRecord()?.postmaster;
      if (postmaster !== undefined) signalServer(postmaster, this.#ephemeral ? 'immediate' : 'fast');
    });
  }
}
