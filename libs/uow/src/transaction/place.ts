/**
 * Whether the places of operations know their line. To capture a stack is the most expensive step of a short
 * transaction, so in production it is done only once a message would have named a line.
 */
let operationsHaveLines = process.env['NODE_ENV'] !== 'production';

/** Has operations know their line from now on, or not; gives how it was. */
export function giveOperationsLines(give: boolean): boolean {
  const before = operationsHaveLines;
  operationsHaveLines = give;
  return before;
}

/** Where in the application something was started: captured cheaply, formatted only when an error needs it. */
export class Place {
  readonly #label: string;
  readonly #error: Error | null;
  readonly #lacksLine: boolean;

  /**
   * @param label the method or operation, such as `AuditService.write` or `session.flush()`
   * @param depth how many frames to capture: each has its price; false where the label alone says enough
   * @param lacksLine true where a message that names it would rather have had a line
   */
  constructor(label: string, depth: number | false = 16, lacksLine = false) {
    this.#label = label;
    this.#lacksLine = lacksLine;
    if (depth !== false) {
      const { stackTraceLimit } = Error;
      Error.stackTraceLimit = depth;
      this.#error = new Error(label);
      Error.stackTraceLimit = stackTraceLimit;
    } else {
      this.#error = null;
    }
  }

  /** The place of an operation, of which one transaction may have many. */
  static ofOperation(label: string, depth = 16): Place {
    return new Place(label, operationsHaveLines ? depth : false, !operationsHaveLines);
  }

  get label(): string {
    return this.#label;
  }

  /** The label, and the first line of the stack that is the application's own. */
  toString(): string {
    if (this.#lacksLine) operationsHaveLines = true;
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
