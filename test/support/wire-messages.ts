/**
 * PostgreSQL's protocol 3.x as bytes: cuts a TCP stream into messages, wherever the chunks end, and reads from them
 * what the proxy records. Rows and COPY data pass in pieces, so that a large one is never held in memory.
 */

const clientTypes = {
  Q: 'Query',
  P: 'Parse',
  B: 'Bind',
  D: 'Describe',
  E: 'Execute',
  C: 'Close',
  S: 'Sync',
  H: 'Flush',
  X: 'Terminate',
  F: 'FunctionCall',
  d: 'CopyData',
  c: 'CopyDone',
  f: 'CopyFail',
  p: 'Password',
} as const;

const serverTypes = {
  R: 'Authentication',
  K: 'BackendKeyData',
  S: 'ParameterStatus',
  Z: 'ReadyForQuery',
  '1': 'ParseComplete',
  '2': 'BindComplete',
  '3': 'CloseComplete',
  T: 'RowDescription',
  n: 'NoData',
  t: 'ParameterDescription',
  D: 'DataRow',
  C: 'CommandComplete',
  I: 'EmptyQueryResponse',
  s: 'PortalSuspended',
  E: 'ErrorResponse',
  N: 'NoticeResponse',
  A: 'NotificationResponse',
  G: 'CopyInResponse',
  H: 'CopyOutResponse',
  W: 'CopyBothResponse',
  d: 'CopyData',
  c: 'CopyDone',
  V: 'FunctionCallResponse',
  v: 'NegotiateProtocolVersion',
} as const;

/** Names of what a client sends; the first four have no type byte and come before all others. */
export type ClientMessageType =
  'StartupMessage' | 'SSLRequest' | 'GSSENCRequest' | 'CancelRequest' | (typeof clientTypes)[keyof typeof clientTypes];

/** Names of what a server sends. */
export type ServerMessageType = (typeof serverTypes)[keyof typeof serverTypes];

/** One message. `body` follows the length; it is missing where the message passes in pieces. */
export interface Frame<Type extends string> {
  readonly type: Type;
  readonly body: Buffer | undefined;
}

/** Bytes to pass on; the first piece of each message names it. */
export interface Piece<Type extends string> {
  readonly bytes: Buffer;
  readonly frame: Frame<Type> | undefined;
}

const largestMessage = 0x4000_0000;
const passedInPieces: ReadonlySet<string> = new Set(['DataRow', 'CopyData']);

/** Cuts the bytes of one direction of one connection into messages. */
export class FrameReader<Type extends ClientMessageType | ServerMessageType> {
  readonly #side: 'client' | 'server';
  #startup: boolean;
  #parts: Buffer[] = [];
  #collected = 0;
  #wanted = 0;
  #passing = 0;

  private constructor(side: 'client' | 'server') {
    this.#side = side;
    this.#startup = side === 'client';
  }

  static ofClient(): FrameReader<ClientMessageType> {
    return new FrameReader<ClientMessageType>('client');
  }

  static ofServer(): FrameReader<ServerMessageType> {
    return new FrameReader<ServerMessageType>('server');
  }

  /**
   * @returns what can be passed on now, in order; the rest is kept until more arrives
   * @throws Error when the bytes cannot be PostgreSQL's protocol
   */
  push(chunk: Buffer): Piece<Type>[] {
    let bytes = chunk;
    if (this.#parts.length > 0) {
      this.#parts.push(chunk);
      this.#collected += chunk.length;
      if (this.#collected < this.#wanted) return [];
      bytes = Buffer.concat(this.#parts);
      this.#parts = [];
    }
    const pieces: Piece<Type>[] = [];
    let offset = 0;
    while (offset < bytes.length) {
      const available = bytes.length - offset;
      if (this.#passing > 0) {
        const size = Math.min(available, this.#passing);
        pieces.push({ bytes: bytes.subarray(offset, offset + size), frame: undefined });
        this.#passing -= size;
        offset += size;
        continue;
      }
      const header = this.#startup ? 4 : 5;
      if (available < header) {
        this.#keep(bytes.subarray(offset), header);
        break;
      }
      const length = bytes.readInt32BE(offset + header - 4);
      if (length < 4 || length > largestMessage)
        throw new Error(`Not PostgreSQL's protocol: a message of ${length} bytes.`);
      const size = length + header - 4;
      const type = this.#startup ? undefined : this.#typeOf(bytes[offset] ?? 0);
      if (type !== undefined && passedInPieces.has(type)) {
        this.#passing = size;
        const first = Math.min(available, size);
        pieces.push({ bytes: bytes.subarray(offset, offset + first), frame: { type, body: undefined } });
        this.#passing -= first;
        offset += first;
        continue;
      }
      if (available < size) {
        this.#keep(bytes.subarray(offset), size);
        break;
      }
      const whole = bytes.subarray(offset, offset + size);
      const body = whole.subarray(header);
      pieces.push({ bytes: whole, frame: { type: type ?? this.#startupType(body), body } });
      offset += size;
    }
    return pieces;
  }

  #keep(rest: Buffer, wanted: number): void {
    this.#parts = [rest];
    this.#collected = rest.length;
    this.#wanted = wanted;
  }

  #typeOf(byte: number): Type {
    const names: Readonly<Record<string, string>> = this.#side === 'client' ? clientTypes : serverTypes;
    const name = names[String.fromCharCode(byte)];
    if (name === undefined) throw new Error(`Not PostgreSQL's protocol: message type ${byte} from the ${this.#side}.`);
    return name as Type;
  }

  #startupType(body: Buffer): Type {
    const code = body.length >= 4 ? body.readInt32BE(0) : 0;
    if (code === 80877102) return 'CancelRequest' as Type;
    if (code === 80877103) return 'SSLRequest' as Type;
    if (code === 80877104) return 'GSSENCRequest' as Type;
    this.#startup = false;
    return 'StartupMessage' as Type;
  }
}

/** Reads the fields of one message's body in order. */
export class FieldReader {
  #offset = 0;

  constructor(readonly body: Buffer) {}

  int16(): number {
    const value = this.body.readInt16BE(this.#offset);
    this.#offset += 2;
    return value;
  }

  int32(): number {
    const value = this.body.readInt32BE(this.#offset);
    this.#offset += 4;
    return value;
  }

  /** A string up to the zero byte that ends it. */
  string(): string {
    const end = this.body.indexOf(0, this.#offset);
    const value = this.body.toString('utf8', this.#offset, end === -1 ? undefined : end);
    this.#offset = end === -1 ? this.body.length : end + 1;
    return value;
  }

  bytes(length: number): Buffer {
    const value = this.body.subarray(this.#offset, this.#offset + length);
    this.#offset += length;
    return value;
  }

  get done(): boolean {
    return this.#offset >= this.body.length;
  }
}

/** Name, value pairs of a startup message: user, database, application_name, … */
export function readStartup(body: Buffer): Readonly<Record<string, string>> {
  const fields = new FieldReader(body);
  fields.int32();
  const parameters: Record<string, string> = {};
  while (!fields.done) {
    const name = fields.string();
    if (name === '') break;
    parameters[name] = fields.string();
  }
  return parameters;
}

/** A parameter as it was sent: text, the bytes of a binary one, or null. */
export type WireParameter = string | Buffer | null;

/** What a Bind message says. */
export function readBind(body: Buffer): { portal: string; statement: string; parameters: WireParameter[] } {
  const fields = new FieldReader(body);
  const portal = fields.string();
  const statement = fields.string();
  const formats = Array.from({ length: fields.int16() }, () => fields.int16());
  const parameters = Array.from({ length: fields.int16() & 0xffff }, (_, index): WireParameter => {
    const length = fields.int32();
    if (length < 0) return null;
    const value = fields.bytes(length);
    const binary = (formats.length === 1 ? formats[0] : formats[index]) === 1;
    // A copy, so that a recorded parameter does not keep the whole chunk that it came in.
    return binary ? Buffer.from(value) : value.toString('utf8');
  });
  return { portal, statement, parameters };
}

/** The fields of an ErrorResponse that tests ask for. */
export interface WireError {
  /** "ERROR", "FATAL" or "PANIC". */
  readonly severity: string;
  /** SQLSTATE. */
  readonly code: string;
  readonly message: string;
}

export function readError(body: Buffer): WireError {
  const fields = new FieldReader(body);
  const found: Record<string, string> = {};
  while (!fields.done) {
    const key = String.fromCharCode(fields.bytes(1)[0] ?? 0);
    if (key === '\0') break;
    found[key] = fields.string();
  }
  return { severity: found['V'] ?? found['S'] ?? '', code: found['C'] ?? '', message: found['M'] ?? '' };
}

/** The bytes of an ErrorResponse. */
export function encodeError(error: WireError): Buffer {
  const fields = Object.entries({ S: error.severity, V: error.severity, C: error.code, M: error.message });
  const body = Buffer.from(`${fields.map(([key, value]) => `${key}${value}\0`).join('')}\0`);
  const header = Buffer.alloc(5);
  header.write('E');
  header.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([header, body]);
}
