import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

export type NextOfProcess<Message> =
  { readonly kind: 'message'; readonly message: Message } | { readonly kind: 'ended' } | { readonly kind: 'silent' };

/** A contender in a process of its own: what it says, or that it ended, or that it says nothing for too long. */
export class ContenderProcess<Message> {
  readonly #child: ChildProcess;
  readonly #received: Message[] = [];
  #ended = false;
  #errors = '';
  #wake: () => void = () => undefined;

  /**
   * @param options for Node, such as --expose-gc
   * @param mode as servers run, or as one who develops them does
   */
  constructor(
    module: URL,
    args: readonly string[],
    options: readonly string[] = [],
    mode: 'production' | 'development' = 'production',
  ) {
    this.#child = fork(fileURLToPath(module), args, {
      execArgv: [...process.execArgv, ...options],
      env: { ...process.env, NODE_ENV: mode },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-4_000);
    });
    this.#child.on('message', (message) => {
      this.#received.push(message as Message);
      this.#wake();
    });
    this.#child.on('exit', () => {
      this.#ended = true;
      this.#wake();
    });
  }

  /** What it wrote to standard error last. */
  get errors(): string {
    return this.#errors;
  }

  /** The message of the error that it died of, on one line. */
  get lastError(): string {
    return /^(?:\w*[Ee]rror): (.*)$/m.exec(this.#errors)?.[1] ?? 'no message';
  }

  send(message: NonNullable<object | number | string>): void {
    if (this.#child.connected) this.#child.send(message);
  }

  /** @param patience milliseconds */
  async next(patience: number): Promise<NextOfProcess<Message>> {
    const deadline = performance.now() + patience;
    for (;;) {
      const message = this.#received.shift();
      if (message !== undefined) return { kind: 'message', message };
      if (this.#ended) return { kind: 'ended' };
      const remaining = deadline - performance.now();
      if (remaining <= 0) return { kind: 'silent' };
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, remaining);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  async end(): Promise<void> {
    if (this.#ended) return;
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exit;
  }
}
