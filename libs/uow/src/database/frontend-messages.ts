const PARSE = 0x50;
const BIND = 0x42;
const DESCRIBE = 0x44;
const EXECUTE = 0x45;
const CLOSE = 0x43;
const SYNC = 0x53;
const STATEMENT = 0x53;
const PORTAL = 0x50;

const FIRST_SIZE = 1_024;
const SHORT = 48;
/** The most bytes that one UTF-16 unit takes in UTF-8. */
const BYTES_PER_UNIT = 3;

/**
 * Messages of the extended query protocol, gathered in one buffer: a whole batch is one write to the socket,
 * where the driver's own functions make a buffer for each message.
 */
export class FrontendMessages {
  #buffer = Buffer.allocUnsafe(FIRST_SIZE);
  #length = 0;

  /** @param name the empty name is the statement that the next Parse replaces */
  parse(name: string, text: string): void {
    const start = this.#open(PARSE);
    this.#cString(name);
    this.#cString(text);
    this.#int16(0);
    this.#close(start);
  }

  /** @param values encoded: null, text or bytes */
  bind(statement: string, values: readonly unknown[]): void {
    const start = this.#open(BIND);
    this.#cString('');
    this.#cString(statement);
    this.#int16(values.length);
    for (const value of values) this.#int16(value instanceof Uint8Array ? 1 : 0);
    this.#int16(values.length);
    for (const value of values) this.#value(value);
    // All results as text.
    this.#int16(1);
    this.#int16(0);
    this.#close(start);
  }

  /** Asks for the columns of what was bound last. */
  describe(): void {
    const start = this.#open(DESCRIBE);
    this.#byte(PORTAL);
    this.#cString('');
    this.#close(start);
  }

  execute(): void {
    const start = this.#open(EXECUTE);
    this.#cString('');
    this.#int32(0);
    this.#close(start);
  }

  closeStatement(name: string): void {
    const start = this.#open(CLOSE);
    this.#byte(STATEMENT);
    this.#cString(name);
    this.#close(start);
  }

  sync(): void {
    this.#close(this.#open(SYNC));
  }

  /** The bytes of everything so far. */
  bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  #open(type: number): number {
    this.#reserve(5);
    this.#buffer[this.#length] = type;
    const start = this.#length + 1;
    this.#length += 5;
    return start;
  }

  /** Writes the message's length, which counts itself. */
  #close(start: number): void {
    this.#writeInt32(this.#length - start, start);
  }

  #value(value: unknown): void {
    if (value === null || value === undefined) {
      this.#int32(-1);
      return;
    }
    if (value instanceof Uint8Array) {
      this.#int32(value.length);
      this.#reserve(value.length);
      this.#buffer.set(value, this.#length);
      this.#length += value.length;
      return;
    }
    this.#reserve(4);
    const at = this.#length;
    this.#length += 4;
    this.#text(value as string);
    this.#writeInt32(this.#length - at - 4, at);
  }

  #cString(text: string): void {
    this.#text(text);
    this.#byte(0);
  }

  #text(text: string): void {
    const { length } = text;
    if (length > SHORT) {
      this.#reserve(Buffer.byteLength(text));
      this.#length += this.#buffer.write(text, this.#length);
      return;
    }
    this.#reserve(length * BYTES_PER_UNIT);
    const buffer = this.#buffer;
    let at = this.#length;
    for (let index = 0; index < length; index++) {
      const code = text.charCodeAt(index);
      if (code > 0x7f) {
        this.#length += buffer.write(text, this.#length);
        return;
      }
      buffer[at++] = code;
    }
    this.#length = at;
  }

  #byte(value: number): void {
    this.#reserve(1);
    this.#buffer[this.#length++] = value;
  }

  #int16(value: number): void {
    this.#reserve(2);
    this.#buffer[this.#length++] = value >>> 8;
    this.#buffer[this.#length++] = value;
  }

  #int32(value: number): void {
    this.#reserve(4);
    this.#writeInt32(value, this.#length);
    this.#length += 4;
  }

  #writeInt32(value: number, at: number): void {
    const buffer = this.#buffer;
    buffer[at] = value >>> 24;
    buffer[at + 1] = value >>> 16;
    buffer[at + 2] = value >>> 8;
    buffer[at + 3] = value;
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
    grown.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = grown;
  }
}
