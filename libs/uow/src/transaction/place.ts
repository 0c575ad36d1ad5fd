/** Where in the application something was started: captured cheaply, formatted only when an error needs it. */
export class Place {
  readonly #label: string;
  readonly #error: Error | null;

  /**
   * @param label the method or operation, such as `AuditService.write` or `session.flush()`
   * @param depth how many frames to capture: each has its price; false where the label alone says enough
   */
  constructor(label: string, depth: number | false = 16) {
    this.#label = label;
    if (depth !== false) {
      const { stackTraceLimit } = Error;
      Error.stackTraceLimit = depth;
      this.#error = new Error(label);
      Error.stackTraceLimit = stackTraceLimit;
    } else {
      this.#error = null;
    }
  }

  get label(): string {
    return this.#label;
  }

  /** The label, and the first line of the stack that is the application's own. */
  toString(): string {
    const frame = this.#error?.stack
      ?.split('\n')
      .slice(1)
      .map((line) => line.trim())
      .find((line) => isApplicationFrame(line));
    return frame === undefined ? this.#label : `${this.#label} (${frame})`;
  }
}

/** The library's own files when it is run from its source tree; installed, it lies in node_modules. */
const LIBRARY_FILE = /[\\/]libs[\\/]uow[\\/](?:src|dist)[\\/](?!.*\.test\.)/;

function isApplicationFrame(line: string): boolean {
  return (
    line.startsWith('at ') && !line.includes('node:') && !line.includes('/node_modules/') && !LIBRARY_FILE.test(line)
  );
}
