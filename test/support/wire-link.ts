import type { Socket } from 'node:net';
import {
  FrameReader,
  type ClientMessageType,
  type Frame,
  type Piece,
  type ServerMessageType,
} from './wire-messages.js';
import type { WireCut, WireHold } from './wire-rules.js';
import type { WireConnection, WireMessage } from './wire-transcript.js';

type Direction = 'toServer' | 'toClient';

/** What a link asks the proxy, and tells it. */
export interface WireLinkObserver {
  decide(message: WireMessage): { readonly holds: readonly WireHold[]; readonly cut: WireCut | undefined };
  /** Milliseconds. */
  delay(direction: Direction): number;
  /** Bytes to answer a login with instead of passing it on, or undefined to pass it. */
  onStartup(): Buffer | undefined;
  onCancelRequest(processId: number): void;
  onBytes(direction: Direction, count: number): void;
  onStatus(): void;
  onEnd(): void;
}

interface Queued {
  /** Undefined is the end of the stream. */
  readonly piece: Piece<ClientMessageType | ServerMessageType> | undefined;
  readonly due: number;
}

const readAheadLimit = 1024 * 1024;
const declined = Buffer.from('N');

/** One client's socket joined with one to the server: passes messages on in order, one lane for each direction. */
export class WireLink {
  readonly #lanes: Readonly<Record<Direction, WireLane>>;
  #over = false;

  constructor(
    readonly client: Socket,
    readonly upstream: Socket,
    readonly connection: WireConnection,
    readonly observer: WireLinkObserver,
  ) {
    const fromClient = FrameReader.ofClient();
    const fromServer = FrameReader.ofServer();
    this.#lanes = {
      toServer: new WireLane(this, 'toServer', client, upstream, (chunk) => fromClient.push(chunk)),
      toClient: new WireLane(this, 'toClient', upstream, client, (chunk) => fromServer.push(chunk)),
    };
  }

  /** Whether something is on its way or owed. */
  get busy(): boolean {
    return this.connection.waiting || this.#lanes.toServer.queued || this.#lanes.toClient.queued;
  }

  /** Cuts both sides at once; what is queued is lost. */
  destroy(): void {
    this.#lanes.toServer.drop();
    this.#lanes.toClient.drop();
    this.client.destroy();
    this.upstream.destroy();
    this.over();
  }

  /** Cuts the client; the server gets the end of the stream behind what it was sent. */
  abandon(): void {
    this.#lanes.toServer.drop();
    this.#lanes.toClient.drop();
    this.connection.recordEnd();
    this.client.destroy();
    this.upstream.end();
  }

  /** Answers the client itself and ends the connection. */
  refuse(answer: Buffer): void {
    this.#lanes.toServer.drop();
    this.client.end(answer);
    this.upstream.destroy();
  }

  over(): void {
    if (this.#over) return;
    this.#over = true;
    this.connection.recordEnd();
    this.observer.onEnd();
  }

  /** Called by a lane when one of its sockets is gone. */
  closed(): void {
    if (this.client.destroyed && this.upstream.destroyed) this.over();
  }
}

/** One direction of a link. */
class WireLane {
  readonly #queue: Queued[] = [];
  #queuedBytes = 0;
  #blocked = false;
  #timer = false;
  #dropped = false;

  constructor(
    readonly link: WireLink,
    readonly direction: Direction,
    readonly source: Socket,
    readonly target: Socket,
    readonly split: (chunk: Buffer) => Piece<ClientMessageType | ServerMessageType>[],
  ) {
    source.on('data', (chunk) => {
      this.#arrive(chunk);
    });
    source.on('end', () => {
      this.#enqueue(undefined);
      this.#pump();
    });
    // A reset is the end of what arrives; the other side learns of it in its turn.
    source.on('error', () => {
      this.#enqueue(undefined);
      this.#pump();
    });
    source.on('close', () => {
      // What the other side still sends has no receiver any more.
      if (direction === 'toClient' && !link.client.destroyed && !this.queued) link.client.end();
      link.closed();
    });
    target.on('drain', () => {
      this.#pump();
    });
  }

  get queued(): boolean {
    return this.#queue.length > 0;
  }

  /** Forgets what is queued and passes nothing more on. */
  drop(): void {
    this.#dropped = true;
    this.#queue.length = 0;
    this.#queuedBytes = 0;
    this.source.resume();
  }

  #arrive(chunk: Buffer): void {
    if (this.#dropped) return;
    try {
      for (const piece of this.split(chunk)) this.#enqueue(piece);
    } catch {
      this.link.destroy();
      return;
    }
    this.#pump();
    if (this.#queuedBytes > readAheadLimit) this.source.pause();
  }

  #enqueue(piece: Queued['piece']): void {
    if (this.#dropped) return;
    this.#queue.push({ piece, due: performance.now() + this.link.observer.delay(this.direction) });
    this.#queuedBytes += piece?.bytes.length ?? 0;
  }

  #pump(): void {
    this.target.cork();
    try {
      for (let next = this.#next(); next !== undefined; next = this.#next()) this.#consider(next);
    } finally {
      this.target.uncork();
    }
    if (this.#queuedBytes <= readAheadLimit && this.source.isPaused()) this.source.resume();
  }

  /** What may be dealt with now. */
  #next(): Queued | undefined {
    const next = this.#queue[0];
    if (next === undefined || this.#blocked || this.#timer || this.target.writableNeedDrain) return undefined;
    return this.#isDue(next) ? next : undefined;
  }

  #isDue({ due }: Queued): boolean {
    const rest = due - performance.now();
    if (rest <= 0) return true;
    this.#timer = true;
    const again = (): void => {
      this.#timer = false;
      this.#pump();
    };
    // Timers are only good to a millisecond; the last bit is waited for turn by turn.
    if (rest > 2) setTimeout(again, rest - 1.5);
    else setImmediate(again);
    return false;
  }

  #consider({ piece }: Queued): void {
    if (piece?.frame === undefined) {
      this.#pass(piece);
      return;
    }
    const { frame } = piece;
    if (this.direction === 'toServer' && this.#answerItself(frame as Frame<ClientMessageType>)) return;
    const { connection } = this.link;
    const message =
      this.direction === 'toServer'
        ? connection.describeClientMessage(frame as Frame<ClientMessageType>)
        : connection.describeServerMessage(frame as Frame<ServerMessageType>);
    const { holds, cut } = this.link.observer.decide(message);
    let waiting = holds.length;
    const proceed = (): void => {
      if (cut === undefined) {
        this.#pass(piece);
        return;
      }
      if (cut.when === 'before') {
        this.link.destroy();
      } else {
        this.#pass(piece);
        if (this.direction === 'toServer') this.link.abandon();
        else this.#endClientBehind();
      }
      cut.announce(message);
    };
    if (waiting === 0) {
      proceed();
      return;
    }
    this.#blocked = true;
    for (const hold of holds) {
      hold.keep(message, () => {
        if (--waiting > 0) return;
        this.#blocked = false;
        if (this.#dropped) return;
        proceed();
        this.#pump();
      });
    }
  }

  /** The requests before the login that are not the server's to answer here. */
  #answerItself(frame: Frame<ClientMessageType>): boolean {
    if (frame.type === 'SSLRequest' || frame.type === 'GSSENCRequest') {
      this.#take();
      this.source.write(declined);
      return true;
    }
    if (frame.type === 'StartupMessage') {
      const refusal = this.link.observer.onStartup();
      if (refusal !== undefined) {
        this.link.refuse(refusal);
        return true;
      }
    }
    return false;
  }

  #take(): void {
    this.#queuedBytes -= this.#queue.shift()?.piece?.bytes.length ?? 0;
  }

  #pass(piece: Queued['piece']): void {
    this.#take();
    const { connection, observer } = this.link;
    if (piece === undefined) {
      this.target.end();
      return;
    }
    const { bytes, frame } = piece;
    observer.onBytes(this.direction, bytes.length);
    if (this.direction === 'toServer') {
      connection.bytesToServer += bytes.length;
      if (frame !== undefined) connection.recordClientMessage(frame as Frame<ClientMessageType>);
      if (frame?.type === 'CancelRequest') observer.onCancelRequest(frame.body?.readInt32BE(4) ?? 0);
    } else {
      connection.bytesToClient += bytes.length;
      if (frame !== undefined) connection.recordServerMessage(frame as Frame<ServerMessageType>);
      if (frame?.type === 'ReadyForQuery') observer.onStatus();
    }
    if (!this.target.destroyed) this.target.write(bytes);
  }

  #endClientBehind(): void {
    this.drop();
    this.target.end();
    this.source.destroy();
  }
}
