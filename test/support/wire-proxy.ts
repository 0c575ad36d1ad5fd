import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { ServerAddress } from './server-address.js';
import { encodeError } from './wire-messages.js';
import { WireLink } from './wire-link.js';
import { WireCut, WireHold, type WireMatch } from './wire-rules.js';
import { WireConnection, type WireMessage, type WireStatement } from './wire-transcript.js';

/**
 * A proxy in front of PostgreSQL that understands the protocol: it records what each connection sends and gets, and can
 * hold messages back, cut connections, refuse them and delay them.
 *
 * ```ts
 * const proxy = await startWireProxy(database);
 * const dataSource = new DataSource({ ...proxy.typeorm, … });
 *
 * const seen = await proxy.record(async () => { await transfer(); });
 * expect(seen.sql).toEqual(['BEGIN', …, 'COMMIT']);
 * expect(seen.roundTrips).toBe(2);
 *
 * const hold = proxy.hold({ sql: 'COMMIT' });          // client → server
 * const pending = transfer();
 * await hold.hit();                                    // COMMIT is on its way, the server has not got it
 * hold.release();
 *
 * proxy.cut({ sql: 'COMMIT' }, 'after');               // COMMIT arrives, its answer does not
 * proxy.delay({ toServer: 1.25, toClient: 1.25 });     // round trips of 2.5 ms more
 * await proxy.close();
 * ```
 *
 * Encryption is declined (a client with `sslmode=prefer` goes on in the clear).
 */
export interface WireRecording {
  /** Executions in the order in which they were passed to the server, over all connections. */
  readonly statements: readonly WireStatement[];
  /** Their SQL. */
  readonly sql: readonly string[];
  /** SQL with its outcome: "COMMIT => ROLLBACK", "INSERT … => ERROR 23505", "SELECT … => (skipped)". */
  readonly log: readonly string[];
  /** SQL by connection; connections in the order in which they first sent something. */
  readonly transcripts: readonly (readonly string[])[];
  /** Sum over the connections; see {@link WireConnection.roundTrips}. */
  readonly roundTrips: number;
  /** Connections opened (logins begun). */
  readonly opened: number;
  readonly cancelRequests: number;
  readonly bytesToServer: number;
  readonly bytesToClient: number;
}

/** Delays, in milliseconds (fractions count), of what arrives from now on. */
export interface WireDelay {
  readonly toServer?: number;
  readonly toClient?: number;
}

/** How a connection is refused: by an error, or by closing it at once. */
export type WireRefusal = 'close' | { readonly code: string; readonly message: string };

/**
 * Starts a proxy on a free port of 127.0.0.1.
 *
 * @param target the database behind it (a `TestDatabase`, or anything with an address)
 */
export async function startWireProxy(target: { readonly address: ServerAddress }): Promise<WireProxy> {
  const server = createServer({ allowHalfOpen: true, noDelay: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  return new WireProxy(server, target.address);
}

/** See {@link startWireProxy}. */
export class WireProxy implements AsyncDisposable {
  /** Where clients connect. */
  readonly address: ServerAddress;
  readonly #server: Server;
  readonly #target: ServerAddress;
  readonly #links = new Set<WireLink>();
  readonly #holds: WireHold[] = [];
  readonly #cuts: WireCut[] = [];
  #connections: WireConnection[] = [];
  #statements: WireStatement[] = [];
  #roundTrips = 0;
  #opened = 0;
  #cancelRequests: { processId: number }[] = [];
  #bytes = { toServer: 0, toClient: 0 };
  #peakOpenTransactions = 0;
  #delay: Required<WireDelay> = { toServer: 0, toClient: 0 };
  #refusal: WireRefusal | undefined;
  #count = 0;

  constructor(server: Server, target: ServerAddress) {
    this.#server = server;
    this.#target = target;
    this.address = target.at('127.0.0.1', (server.address() as AddressInfo).port);
    server.on('connection', (client) => {
      this.#accept(client);
    });
  }

  /** Connection string. */
  get url(): string {
    return this.address.url;
  }

  /** For `new DataSource({ ...proxy.typeorm, … })`. */
  get typeorm(): ServerAddress['typeorm'] {
    return this.address.typeorm;
  }

  /** For `new pg.Client(proxy.pg)`. */
  get pg(): ServerAddress['pg'] {
    return this.address.pg;
  }

  /** Connections that logged in, or tried to, since the last `clear`; closed ones too. */
  get connections(): readonly WireConnection[] {
    return this.#connections.filter((connection) => 'user' in connection.startup);
  }

  /** Connections that are open now. */
  get openConnections(): readonly WireConnection[] {
    return this.connections.filter((connection) => !connection.closed);
  }

  /** Connections opened since the last `clear`. */
  get opened(): number {
    return this.#opened;
  }

  /** Cancel requests since the last `clear`, with the pid of the server process that each is about. */
  get cancelRequests(): readonly { readonly processId: number }[] {
    return this.#cancelRequests;
  }

  /** Connections inside a transaction now, as the server's last ReadyForQuery said. */
  get openTransactions(): number {
    return this.#connections.filter(({ status }) => status === 'open' || status === 'failed').length;
  }

  /** The most transactions that were open at the same time since the last `clear`. */
  get peakOpenTransactions(): number {
    return this.#peakOpenTransactions;
  }

  /** Executions since the last `clear`, over all connections. */
  get statements(): readonly WireStatement[] {
    return this.#statements;
  }

  /** SQL of the executions since the last `clear`. */
  get sql(): readonly string[] {
    return this.#statements.map((statement) => statement.sql);
  }

  /** Executions since the last `clear` with their outcomes; see {@link WireRecording.log}. */
  get log(): readonly string[] {
    return this.#statements.map(describe);
  }

  /** Round trips since the last `clear`. */
  get roundTrips(): number {
    return this.#roundTrips;
  }

  /** Forgets what was recorded; connections, holds, cuts and delays stay as they are. */
  clear(): void {
    this.#connections = this.#connections.filter((connection) => !connection.closed);
    for (const connection of this.#connections) connection.statements.length = 0;
    this.#statements = [];
    this.#roundTrips = 0;
    this.#opened = 0;
    this.#cancelRequests = [];
    this.#bytes = { toServer: 0, toClient: 0 };
    this.#peakOpenTransactions = this.openTransactions;
  }

  /** Runs a function and gives what went over the wire meanwhile. */
  async record(fn: () => unknown): Promise<WireRecording> {
    const [from, roundTrips, opened] = [this.#statements.length, this.#roundTrips, this.#opened];
    const [cancelRequests, bytes] = [this.#cancelRequests.length, { ...this.#bytes }];
    await fn();
    const statements = this.#statements.slice(from);
    return {
      statements,
      sql: statements.map((statement) => statement.sql),
      log: statements.map(describe),
      transcripts: [...new Set(statements.map(({ connection }) => connection))].map((connection) =>
        statements.filter((statement) => statement.connection === connection).map(({ sql }) => sql),
      ),
      roundTrips: this.#roundTrips - roundTrips,
      opened: this.#opened - opened,
      cancelRequests: this.#cancelRequests.length - cancelRequests,
      bytesToServer: this.#bytes.toServer - bytes.toServer,
      bytesToClient: this.#bytes.toClient - bytes.toClient,
    };
  }

  /** Waits until every open connection has got all its answers and nothing is on the way (held messages are). */
  async settled(): Promise<void> {
    while ([...this.#links].some((link) => link.busy)) await new Promise((resolve) => setTimeout(resolve, 2));
  }

  /** Waits until no connection is open. */
  async untilClosed(): Promise<void> {
    while (this.#links.size > 0) await new Promise((resolve) => setTimeout(resolve, 2));
  }

  /** Holds back the messages meant, from now on, until released. */
  hold(match: WireMatch): WireHold {
    const hold = new WireHold(match);
    this.#holds.push(hold);
    return hold;
  }

  /**
   * Cuts the connection at the message meant: the client sees it closed without a word.
   *
   * @param when 'before': the message is lost, with all behind it. 'after': it still arrives; to the server it is
   *   followed by the end of the stream, which PostgreSQL notices only when it has done what it was told.
   */
  cut(match: WireMatch, when: 'before' | 'after' = 'before'): WireCut {
    const cut = new WireCut(match, when);
    this.#cuts.push(cut);
    return cut;
  }

  /** Cuts a connection, or all, now. */
  cutNow(connection?: WireConnection): void {
    for (const link of this.#links) if (connection === undefined || link.connection === connection) link.destroy();
  }

  /** Delays what arrives from now on; a direction left out is not delayed. */
  delay(delay: WireDelay): void {
    this.#delay = { toServer: 0, toClient: 0, ...delay };
  }

  /** Refuses new connections until called with undefined. Cancel requests pass. */
  refuse(refusal: WireRefusal | undefined): void {
    this.#refusal = refusal;
  }

  /** Cuts all connections and stops listening. */
  async close(): Promise<void> {
    this.cutNow();
    await new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #accept(client: Socket): void {
    const upstream = connect({
      host: this.#target.host,
      port: this.#target.port,
      allowHalfOpen: true,
      noDelay: true,
    });
    const connection = new WireConnection(
      ++this.#count,
      (statement) => {
        this.#statements.push(statement);
      },
      () => {
        this.#roundTrips += 1;
      },
    );
    this.#connections.push(connection);
    const link = new WireLink(client, upstream, connection, {
      decide: (message) => this.#decide(message),
      delay: (direction) => this.#delay[direction],
      onStartup: () => this.#startup(),
      onCancelRequest: (processId) => {
        this.#cancelRequests.push({ processId });
      },
      onBytes: (direction, count) => {
        this.#bytes[direction] += count;
      },
      onStatus: () => {
        this.#peakOpenTransactions = Math.max(this.#peakOpenTransactions, this.openTransactions);
      },
      onEnd: () => {
        this.#links.delete(link);
      },
    });
    this.#links.add(link);
  }

  /** What to do with a login. */
  #startup(): Buffer | undefined {
    this.#opened += 1;
    if (this.#refusal === undefined) return undefined;
    if (this.#refusal === 'close') return Buffer.alloc(0);
    return encodeError({ severity: 'FATAL', ...this.#refusal });
  }

  #decide(message: WireMessage): { readonly holds: readonly WireHold[]; readonly cut: WireCut | undefined } {
    return {
      holds: this.#holds.filter((hold) => hold.applies(message)),
      cut: this.#cuts.find((cut) => cut.applies(message)),
    };
  }
}

function describe({ sql, outcome, tags, error }: WireStatement): string {
  if (error !== undefined) return `${sql} => ${error.severity} ${error.code}`;
  return `${sql} => ${outcome === 'done' ? tags.join(', ') : `(${outcome})`}`;
}
