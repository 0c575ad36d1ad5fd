/**
 * The root of the error catalogue. Every error that the library throws by itself extends it, carries a
 * stable `code` (check that one: it also works when two copies of the package are installed), says what
 * happened and where, and ends with what to do. `docs/reference/errors.md` has a section for each code.
 */
export abstract class UowError extends Error {
  /** Stable machine-readable name of the kind of error, such as `UOW_NO_SESSION`. */
  abstract readonly code: `UOW_${string}`;

  /**
   * @param message what happened, where, and what to do
   * @param options `cause`: the error that led here
   */
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    Object.defineProperty(this, 'name', {
      value: new.target.name,
      configurable: true,
      writable: true,
    });
  }
}

/** True for errors of this library, also those of another installed copy of it. */
export function isUowError(error: unknown): error is UowError {
  return (
    error instanceof UowError ||
    (error instanceof Error &&
      typeof (error as { code?: unknown }).code === 'string' &&
      (error as unknown as { code: string }).code.startsWith('UOW_'))
  );
}
