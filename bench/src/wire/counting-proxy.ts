import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { DelayLine } from './delay-line.js';

/**
 * A proxy between a contender and PostgreSQL that counts statements and round trips, adds a delay, and can spoil the
 * next BEGINs, so that the server refuses them as it refuses any wrong SQL. It reads only the client's side.
 */
export interface WireCounts {
  /** Executions: simple queries and Execute messages. */
  readonly statements: number;
  /** How often a client spoke after it had been answered. */
  readonly roundTrips: number;
  readonly bytesToServer: number;
  readonly bytesToClient: number;
}

export interface CountingProxyOptions {
  /** Added to each round trip; milliseconds. */
  readonly delay?: number;
}

const beginnings = [Buffer.from('BEGIN'), Buffer.from('begin'), Buffer.from('START TRANSACTION')];

export class CountingProxy implements AsyncDisposable {
  readonly url: string;
  readonly #server;
  readonly #sockets = new Set<Socket>();
  readonly #delayLine: DelayLine | undefined;
  readonly #target;
  #counts = { statements: 0, roundTrips: 0, bytesToServer: 0, bytesToClient: 0 };
  #spoil = 0;
  #undelayed = false;

  private constructor(url: string, server: ReturnType<typeof createServer>, delayLine: DelayLine | undefined) {
    const target = new URL(url);
    this.#target = { host: target.hostname, port: Number(target.port) };
    target.port = String((server.address() as AddressInfo).port);
    target.hostname = '127.0.0.1';
    this.url = target.href;
    this.#server = server;
    this.#delayLine = delayLine;
    server.on('connection', (client) => {
      this.#accept(client);
    });
  }

  /** @param url of the database behind it */
  static async start(url: string, { delay }: CountingProxyOptions = {}): Promise<CountingProxy> {
    const server = createServer({ noDelay: true });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, '127.0.0.1', resolve);
    });
    return new CountingProxy(url, server, delay === undefined ? undefined : await DelayLine.start(delay));
  }

  /** What was counted since the last call. */
  takeCounts(): WireCounts {
    const counts = this.#counts;
    this.#counts = { statements: 0, roundTrips: 0, bytesToServer: 0, bytesToClient: 0 };
    return counts;
  }

  /** Adds no delay for now, or adds it again; called while nothing is under way. */
  letThrough(undelayed: boolean): void {
    this.#undelayed = undelayed;
  }

  /** Makes the next BEGINs wrong. */
  spoilBegins(count: number): void {
    this.#spoil = count;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
    await this.#delayLine?.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #accept(client: Socket): void {
    const upstream = connect({ ...this.#target, noDelay: true });
    let clientSpokeLast = false;
    const spoiler = new BeginSpoiler();
    const count = statementCounter((found) => {
      this.#counts.statements += found;
    });
    client.on('data', (chunk) => {
      if (isFarewell(chunk)) {
        upstream.write(chunk);
        return;
      }
      if (!clientSpokeLast) this.#counts.roundTrips += 1;
      clientSpokeLast = true;
      this.#counts.bytesToServer += chunk.length;
      count(chunk);
      if (spoiler.meet(chunk, this.#spoil > 0)) this.#spoil -= 1;
      upstream.write(chunk);
    });
    upstream.on('data', (chunk) => {
      this.#counts.bytesToClient += chunk.length;
      const passed = (): void => {
        clientSpokeLast = false;
      };
      // The whole delay lies on the way back: the client cannot tell.
      if (this.#delayLine !== undefined && !this.#undelayed) {
        this.#delayLine.push(client, chunk, passed);
        return;
      }
      passed();
      client.write(chunk);
    });
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.end();
      });
    }
  }
}

/** Finds the BEGINs of one connection and makes them wrong, by text or by the name they were prepared under. */
class BeginSpoiler {
  readonly #prepared = new Set<string>();

  /** @returns whether there was one, and it was spoiled as `spoil` asks */
  meet(chunk: Buffer, spoil: boolean): boolean {
    for (const text of beginnings) {
      const at = chunk.indexOf(text);
      if (at === -1) continue;
      // In a Parse message the name comes before; before that stand the letter P and the length, which begins with a zero.
      const parse = chunk.lastIndexOf('P\0', at, 'latin1');
      if (parse !== -1 && parse + 5 < at - 1) this.#prepared.add(chunk.toString('latin1', parse + 5, at - 1));
      if (spoil) chunk.write('SPOIL', at, 'latin1');
      return spoil;
    }
    if (!spoil) return false;
    for (const name of this.#prepared) {
      const at = chunk.indexOf(`\0${name}\0`, 0, 'latin1');
      if (at === -1) continue;
      // The Bind message now promises two parameter formats that do not follow.
      chunk.writeInt16BE(2, at + name.length + 2);
      return true;
    }
    return false;
  }
}

/** A pool that ends an idle connection says so; that is nobody's work. */
function isFarewell(chunk: Buffer): boolean {
  return chunk.length === 5 && chunk[0] === 0x58;
}

/** Counts Query and Execute messages in a client's bytes, wherever the chunks end. */
function statementCounter(found: (count: number) => void): (chunk: Buffer) => void {
  let started = false;
  let rest: Buffer = Buffer.alloc(0);
  let skip = 0;
  return (chunk) => {
    let bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let count = 0;
    for (;;) {
      if (skip > 0) {
        const skipped = Math.min(skip, bytes.length);
        skip -= skipped;
        bytes = bytes.subarray(skipped);
      }
      const header = started ? 5 : 4;
      if (bytes.length < header) break;
      const type = started ? bytes[0] : 0;
      if (type === 0x51 || type === 0x45) count += 1;
      skip = bytes.readInt32BE(header - 4) + header - 4;
      started = true;
    }
    rest = bytes;
    if (count > 0) found(count);
  };
}
