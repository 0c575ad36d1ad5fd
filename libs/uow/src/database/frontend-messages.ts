import { BinaryArray } from './binary-array.js';

const PARSE = 0x50;
const BIND = 0x42;
const CLOSE = 0x43;
const STATEMENT = 0x53;

/** Messages that are always the same: for the unnamed portal, without a limit of rows. */
const DESCRIBE_PORTAL = Uint8Array.of(0x44, 0, 0, 0, 6, 0x50, 0);
const EXECUTE_ALL = Uint8Array.of(0x45, 0, 0, 0, 9, 0, 0, 0, 0, 0);
const SYNC = Uint8Array.of(0x53, 0, 0, 0, 4);

/** Where messages go. */
interface MessageStream {
  write(bytes: Uint8Array): unknown;
  cork?(): void;
  uncork?(): void;
}

/** Most batches are shorter; Node gives out such buffers from one of eight thousand bytes. */
const FIRST_SIZE = 256;
/** Up to so many UTF-16 units a text is written here, unit by unit: the call that writes longer ones has its price. */
const SHORT = 48;
/** The most bytes that one UTF-16 unit takes in UTF-8. */
const BYTES_PER_UNIT = 3;
/** Binary arrays of so many bytes or more are not copied. */
const LARGE = 16_384;

/**
 * Messages of the extended query protocol, gathered in one buffer: a whole batch is one write to the socket,
 * where the driver's own functions make a buffer for each message.
 */
export class FrontendMessages {
  #buffer = Buffer.allocUnsafe(FIRST_SIZE);
  #length = 0;
  /** What is not in the buffer, and where it belongs; null without any. */
  #apart: { readonly at: number; readonly bytes: Uint8Array }[] | null = null;

  /** @param name the empty name is the statement that the next Parse replaces */
  parse(name: string, text: string): void {
    this.#reserve(5 + spaceFor(name) + 1 + spaceFor(text) + 1 + 2);
    const start = this.#open(PARSE);
    this.#cString(name);
    this.#cString(text);
    this.#int16(0);
    this.#close(start);
  }

  /** @param values encoded: null, text, bytes or a binary array */
  bind(statement: string, values: readonly unknown[]): void {
    const count = values.length;
    let space = 5 + 1 + spaceFor(statement) + 1 + 2 + 2 * count + 2 + 2;
    let formats = 0;
    for (let at = 0; at < count; at++) {
      space += 4 + spaceFor(values[at]);
      if (typeof values[at] !== 'string' && values[at] !== null) formats = count;
    }
    this.#reserve(space);
    const start = this.#open(BIND);
    // The unnamed portal.
    this.#buffer[this.#length++] = 0;
    this.#cString(statement);
    // Without format codes all is text, here as for the results.
    this.#int16(formats);
    for (let at = 0; at < formats; at++) this.#int16(typeof values[at] === 'string' || values[at] === null ? 0 : 1);
    this.#int16(count);
    let apart = 0;
    for (let at = 0; at < count; at++) apart += this.#value(values[at]);
    this.#int16(0);
    this.#close(start, apart);
  }

  /** Asks for the columns of what was bound last. */
  describe(): void {
    this.#constant(DESCRIBE_PORTAL);
  }

  execute(): void {
    this.#constant(EXECUTE_ALL);
  }

  /** What `bind` and `execute` write for a statement without parameters: the same bytes each time. */
  static executionOf(statement: string): Uint8Array {
    const messages = new FrontendMessages();
    messages.bind(statement, []);
    messages.execute();
    return Uint8Array.prototype.slice.call(messages.#buffer, 0, messages.#length);
  }

  /** @param bytes of `executionOf` */
  executeAgain(bytes: Uint8Array): void {
    this.#constant(bytes);
  }

  closeStatement(name: string): void {
    this.#reserve(5 + 1 + spaceFor(name) + 1);
    const start = this.#open(CLOSE);
    this.#buffer[this.#length++] = STATEMENT;
    this.#cString(name);
    this.#close(start);
  }

  sync(): void {
    this.#constant(SYNC);
  }

  /** Writes everything so far, at once. */
  writeTo(stream: MessageStream): void {
    const bytes = this.#buffer.subarray(0, this.#length);
    if (this.#apart === null) {
      stream.write(bytes);
      return;
    }
    stream.cork?.();
    let from = 0;
    for (const { at, bytes: between } of this.#apart) {
      stream.write(bytes.subarray(from, at));
      stream.write(between);
      from = at;
    }
    stream.write(bytes.subarray(from));
    stream.uncork?.();
  }

  #constant(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** Begins a message; gives where its length belongs. */
  #open(type: number): number {
    this.#buffer[this.#length] = type;
    const start = this.#length + 1;
    this.#length += 5;
    return start;
  }

  /**
   * Writes the message's length, which counts itself.
   * @param apart how much of the message is not in the buffer
   */
  #close(start: number, apart = 0): void {
    this.#writeInt32(this.#length - start + apart, start);
  }

  /** Gives how many bytes of it are not in the buffer. */
  #value(value: unknown): number {
    const at = this.#length;
    this.#length += 4;
    if (value === null) {
      this.#writeInt32(-1, at);
      return 0;
    }
    if (typeof value === 'string') {
      this.#text(value);
    } else {
      const bytes = value instanceof BinaryArray ? value.bytes : (value as Uint8Array);
      if (isLarge(value)) {
        (this.#apart ??= []).push({ at: this.#length, bytes });
        this.#writeInt32(bytes.length, at);
        return bytes.length;
      }
      this.#buffer.set(bytes, this.#length);
      this.#length += bytes.length;
    }
    this.#writeInt32(this.#length - at - 4, at);
    return 0;
  }

  #cString(text: string): void {
    this.#text(text);
    this.#buffer[this.#length++] = 0;
  }

  #text(text: string): void {
    const { length } = text;
    if (length > SHORT) {
      this.#length += this.#buffer.write(text, this.#length);
      return;
    }
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

  #int16(value: number): void {
    this.#buffer[this.#length++] = value >>> 8;
    this.#buffer[this.#length++] = value;
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

function isLarge(value: unknown): boolean {
  return value instanceof BinaryArray && value.bytes.length >= LARGE;
}

/** Bytes that a value takes at most in the buffer. */
function spaceFor(value: unknown): number {
  if (typeof value === 'string') return value.length > SHORT ? Buffer.byteLength(value) : value.length * BYTES_PER_UNIT;
  if (value instanceof BinaryArray) return isLarge(value) ? 0 : value.bytes.length;
  return value instanceof Uint8Array ? value.length : 0;
}
