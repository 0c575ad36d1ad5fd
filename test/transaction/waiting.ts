/** Points and conditions that tests wait for, and errors that they wait for; bounded by the test's own timeout. */

/** A point that code waits at until a test opens it; the test can wait until it has been reached. */
export class Gate {
  #open!: () => void;
  #reach!: () => void;
  readonly #opened = new Promise<void>((resolve) => {
    this.#open = resolve;
  });
  readonly #reached = new Promise<void>((resolve) => {
    this.#reach = resolve;
  });

  /** Waits until the gate is open. */
  async pass(): Promise<void> {
    this.#reach();
    await this.#opened;
  }

  /** Waits until somebody stands at the gate. */
  async reached(): Promise<void> {
    await this.#reached;
  }

  open(): void {
    this.#open();
  }
}

const PATIENCE = 20_000;

/** Waits until the condition holds; fails where it does not come about. */
export async function until(condition: () => boolean): Promise<void> {
  const giveUp = performance.now() + PATIENCE;
  while (!condition()) {
    if (performance.now() > giveUp) throw new Error(`It did not come about: ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** What the work was rejected with; fails where it was not. */
export async function thrownBy(work: Promise<unknown>): Promise<Record<string, unknown> & { message: string }> {
  let error: unknown;
  try {
    await work;
  } catch (thrown) {
    error = thrown;
    return error as Record<string, unknown> & { message: string };
  }
  throw new Error('It was expected to fail');
}
