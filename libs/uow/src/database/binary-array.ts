/**
 * An array in PostgreSQL's binary form as a parameter. Nobody changes its bytes, so they go to the socket without a
 * copy.
 */
export class BinaryArray {
  constructor(
    readonly elementType: string,
    readonly length: number,
    readonly bytes: Uint8Array,
  ) {}

  /** What a log shows in place of the bytes. */
  toJSON(): string {
    return `${this.elementType}[${this.length}]`;
  }
}
