import { FrameReader, readBind, readStartup, type ClientMessageType, type Piece } from './wire-messages.js';

function message(type: string, ...fields: (Buffer | string)[]): Buffer {
  const body = Buffer.concat(fields.map((field) => (typeof field === 'string' ? Buffer.from(`${field}\0`) : field)));
  const header = Buffer.alloc(type.length + 4);
  header.write(type);
  header.writeInt32BE(body.length + 4, type.length);
  return Buffer.concat([header, body]);
}

const int16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);
const int32 = (value: number): Buffer =>
  Buffer.from([value >>> 24, (value >> 16) & 255, (value >> 8) & 255, value & 255]);

const startup = message('', int32(196608), 'user', 'ann', 'database', 'bank', Buffer.from([0]));
const stream = Buffer.concat([
  message('', int32(80877103)),
  startup,
  message('Q', 'SELECT 1'),
  message('P', '', 'SELECT $1', int16(0)),
  message('d', Buffer.alloc(300, 7)),
  message('S'),
  message('X'),
]);
const names = ['SSLRequest', 'StartupMessage', 'Query', 'Parse', 'CopyData', 'Sync', 'Terminate'];

function read(chunks: readonly Buffer[]): Piece<ClientMessageType>[] {
  const reader = FrameReader.ofClient();
  return chunks.flatMap((chunk) => reader.push(chunk));
}

describe('FrameReader', () => {
  test('finds the same messages wherever the chunks end', () => {
    for (let cut = 1; cut < stream.length; cut++) {
      const pieces = read([stream.subarray(0, cut), stream.subarray(cut)]);
      expect(pieces.flatMap(({ frame }) => frame?.type ?? [])).toEqual(names);
      expect(Buffer.concat(pieces.map(({ bytes }) => bytes)).equals(stream)).toBe(true);
    }
  });

  test('reads a stream that comes byte by byte', () => {
    const pieces = read([...stream].map((byte) => Buffer.from([byte])));
    expect(pieces.flatMap(({ frame }) => frame?.type ?? [])).toEqual(names);
    expect(Buffer.concat(pieces.map(({ bytes }) => bytes)).equals(stream)).toBe(true);
  });

  test('passes COPY data on before it is complete', () => {
    const reader = FrameReader.ofClient();
    reader.push(startup);
    const data = message('d', Buffer.alloc(1000));
    expect(reader.push(data.subarray(0, 10)).map(({ bytes }) => bytes.length)).toEqual([10]);
    expect(reader.push(data.subarray(10)).map(({ bytes }) => bytes.length)).toEqual([data.length - 10]);
  });

  test('refuses what is not the protocol', () => {
    expect(() => read([Buffer.from('GET / HTTP/1.1\r\n\r\n')])).toThrow("Not PostgreSQL's protocol");
    expect(() => read([startup, Buffer.from('~\0\0\0\x04')])).toThrow("Not PostgreSQL's protocol");
  });
});

test('readStartup gives the names and values', () => {
  expect(readStartup(startup.subarray(4))).toEqual({ user: 'ann', database: 'bank' });
});

test('readBind gives text, binary and null parameters', () => {
  const value = (bytes: Buffer): Buffer => Buffer.concat([int32(bytes.length), bytes]);
  const formats = Buffer.concat([int16(3), int16(0), int16(1), int16(0)]);
  const values = Buffer.concat([int16(3), value(Buffer.from('é')), value(Buffer.from([1, 2])), int32(-1)]);
  const body = Buffer.concat([Buffer.from('portal\0name\0'), formats, values, int16(0)]);
  expect(readBind(body)).toEqual({ portal: 'portal', statement: 'name', parameters: ['é', Buffer.from([1, 2]), null] });
});
