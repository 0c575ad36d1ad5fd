import { connect, type Socket } from 'node:net';

/** What one run of load saw. */
export interface LoadResult {
  readonly requests: number;
  readonly ms: number;
}

const headEnd = Buffer.from('\r\n\r\n');

/**
 * Sends requests over a few kept connections, each answered before the next, for a time. Raw sockets: what is
 * measured is the server.
 *
 * @param next makes the bytes of the next request
 * @param status that each answer must have
 * @throws Error at the first other answer
 */
export async function load(
  port: number,
  connections: number,
  ms: number,
  status: number,
  next: () => Buffer,
): Promise<LoadResult> {
  const start = performance.now();
  const lanes = Array.from({ length: connections }, () => lane(port, start + ms, status, next));
  const requests = await Promise.all(lanes);
  return { requests: requests.reduce((sum, each) => sum + each, 0), ms: performance.now() - start };
}

function lane(port: number, end: number, status: number, next: () => Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect({ host: '127.0.0.1', port, noDelay: true });
    let answered = 0;
    let received: Buffer = Buffer.alloc(0);
    socket.on('connect', () => socket.write(next()));
    socket.on('error', reject);
    socket.on('data', (chunk) => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
      const head = received.indexOf(headEnd);
      if (head === -1) return;
      const text = received.toString('latin1', 0, head);
      const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
      if (received.length < head + 4 + length) return;
      if (!text.startsWith(`HTTP/1.1 ${status} `)) {
        socket.destroy();
        reject(new Error(`Answered: ${received.toString()}`));
        return;
      }
      received = Buffer.alloc(0);
      answered += 1;
      if (performance.now() < end) socket.write(next());
      else {
        socket.destroy();
        resolve(answered);
      }
    });
  });
}
