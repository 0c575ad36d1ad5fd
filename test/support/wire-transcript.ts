import {
  FieldReader,
  readBind,
  readError,
  readStartup,
  type ClientMessageType,
  type Frame,
  type ServerMessageType,
  type WireError,
  type WireParameter,
} from './wire-messages.js';

/**
 * What went over one connection, understood: each execution with its SQL text (looked up through prepared statements
 * and portals in the extended protocol) and with the server's answer to it.
 */

/** One execution of SQL, as the server got it. Filled in further as the server's answer passes. */
export interface WireStatement {
  readonly connection: WireConnection;
  /** As sent; a simple Query may hold several statements, and is one entry. */
  readonly sql: string;
  readonly protocol: 'simple' | 'extended';
  /** Of an extended execution, as sent; undefined for a simple one. */
  readonly parameters: readonly WireParameter[] | undefined;
  /** Name of the prepared statement, '' for the unnamed one; undefined for a simple one. */
  readonly preparedAs: string | undefined;
  /** Whether its Parse went with it, or an earlier one was used again. */
  readonly parsed: boolean;
  /** In which round trip of its connection it was sent; the first is 1. */
  readonly roundTrip: number;
  /** 'sent' until answered; 'skipped' when an earlier statement of the same Sync failed; 'lost' when the connection ended before. */
  outcome: 'sent' | 'done' | 'failed' | 'skipped' | 'lost';
  /** Command tags, for example ["BEGIN"] or ["UPDATE 2"]; more than one only for a Query of several statements. */
  readonly tags: string[];
  /** Number of rows it returned so far. */
  rows: number;
  error: WireError | undefined;
}

/** A message about to be passed on, for whoever decides on it. */
export interface WireMessage {
  readonly direction: 'toServer' | 'toClient';
  readonly type: ClientMessageType | ServerMessageType;
  readonly connection: WireConnection;
  /**
   * The SQL texts that it belongs to. Client: that of the Query, Parse, Bind, Describe or Execute; of a Sync, those
   * sent since the last one. Server: that of the statement that it answers; of ReadyForQuery, those answered since the last.
   */
  readonly sql: readonly string[];
  /** The same object for Parse, Bind and Execute of one execution. */
  readonly execution: object | undefined;
}

interface Prepared {
  readonly name: string;
  readonly sql: string;
  /** Its Parse has gone, and no Bind has used it yet. */
  fresh: { readonly execution: object } | undefined;
}

interface Portal {
  readonly prepared: Prepared | undefined;
  readonly parameters: readonly WireParameter[];
  readonly parsed: boolean;
  /** Of its first Execute; later ones (fetching on) are executions of their own. */
  execution: object | undefined;
}

interface Expected {
  readonly kind: 'query' | 'parse' | 'bind' | 'describe' | 'execute' | 'close' | 'sync' | 'function';
  readonly prepared?: Prepared | undefined;
  readonly statement?: WireStatement | undefined;
}

const unknownSql = '(unknown)';

/** One client connection and its transcript. */
export class WireConnection {
  /** Pid of its server process, once the server has said it. */
  processId: number | undefined;
  /** What the client said at the start: user, database, application_name. Empty for a cancel request. */
  startup: Readonly<Record<string, string>> = {};
  /** Executions in the order in which they were passed to the server. */
  readonly statements: WireStatement[] = [];
  /** All errors that the server sent, also those that belong to no statement (refused logins, terminations). */
  readonly errors: WireError[] = [];
  /**
   * How often the client turned to the server and waited, after it was logged in. A round trip begins with a message
   * sent when everything sent before has been answered; whatever follows before the answers are complete belongs to it.
   */
  roundTrips = 0;
  bytesToServer = 0;
  bytesToClient = 0;
  /** What ReadyForQuery said last: no transaction, an open one, or a failed one; undefined before the login is done. */
  status: 'idle' | 'open' | 'failed' | undefined;
  closed = false;

  readonly #prepared = new Map<string, Prepared>();
  readonly #portals = new Map<string, Portal>();
  readonly #expected: Expected[] = [];
  #sinceSync: string[] = [];
  #answered: WireStatement[] = [];

  /** @param id counts the connections of a proxy from 1 */
  constructor(
    readonly id: number,
    private readonly onStatement: (statement: WireStatement) => void,
    private readonly onRoundTrip: () => void,
  ) {}

  /** SQL of the statements, in order. */
  get sql(): readonly string[] {
    return this.statements.map((statement) => statement.sql);
  }

  /** Whether the server still owes answers. */
  get waiting(): boolean {
    return this.#expected.length > 0;
  }

  /** Understands a client's message before it is passed on; called once for each, in order. */
  describeClientMessage(frame: Frame<ClientMessageType>): WireMessage {
    const message = (sql: readonly string[], execution?: object): WireMessage => ({
      direction: 'toServer',
      type: frame.type,
      connection: this,
      sql,
      execution,
    });
    const body = frame.body;
    if (body === undefined) return message([]);
    switch (frame.type) {
      case 'Query':
        return message([new FieldReader(body).string()], {});
      case 'Parse': {
        const fields = new FieldReader(body);
        const name = fields.string();
        const execution = {};
        const prepared: Prepared = { name, sql: fields.string(), fresh: { execution } };
        this.#prepared.set(name, prepared);
        return message([prepared.sql], execution);
      }
      case 'Bind': {
        const { portal, statement, parameters } = readBind(body);
        const prepared = this.#prepared.get(statement);
        const execution = prepared?.fresh?.execution ?? {};
        this.#portals.set(portal, { prepared, parameters, parsed: prepared?.fresh !== undefined, execution });
        if (prepared !== undefined) prepared.fresh = undefined;
        return message([prepared?.sql ?? unknownSql], execution);
      }
      case 'Execute': {
        const portal = this.#portals.get(new FieldReader(body).string());
        return message([portal?.prepared?.sql ?? unknownSql], portal?.execution ?? {});
      }
      case 'Describe': {
        const sql = this.#named(body)?.sql;
        return message(sql === undefined ? [] : [sql]);
      }
      case 'Sync':
        return message([...this.#sinceSync]);
      default:
        return message([]);
    }
  }

  /** Records a client's message that is being passed on. */
  recordClientMessage(frame: Frame<ClientMessageType>): void {
    const { type, body } = frame;
    if (type === 'StartupMessage' && body !== undefined) this.startup = readStartup(body);
    if (this.status === undefined || type === 'Terminate' || body === undefined) return;
    if (this.#expected.length === 0) {
      this.roundTrips += 1;
      this.onRoundTrip();
    }
    switch (type) {
      case 'Query':
        this.#expected.push({
          kind: 'query',
          statement: this.#record({ sql: new FieldReader(body).string(), protocol: 'simple', parsed: true }),
        });
        break;
      case 'Parse':
        this.#expected.push({ kind: 'parse', prepared: this.#prepared.get(new FieldReader(body).string()) });
        break;
      case 'Bind':
        this.#expected.push({ kind: 'bind', prepared: this.#portals.get(new FieldReader(body).string())?.prepared });
        break;
      case 'Describe':
        this.#expected.push({ kind: 'describe', prepared: this.#named(body) });
        break;
      case 'Execute': {
        const portal = this.#portals.get(new FieldReader(body).string());
        const statement = this.#record({
          sql: portal?.prepared?.sql ?? unknownSql,
          protocol: 'extended',
          parameters: portal?.parameters ?? [],
          preparedAs: portal?.prepared?.name ?? '',
          parsed: portal?.parsed ?? false,
        });
        if (portal !== undefined) portal.execution = undefined;
        this.#sinceSync.push(statement.sql);
        this.#expected.push({ kind: 'execute', prepared: portal?.prepared, statement });
        break;
      }
      case 'Close':
        this.#expected.push({ kind: 'close' });
        break;
      case 'Sync':
        this.#sinceSync = [];
        this.#expected.push({ kind: 'sync' });
        break;
      case 'FunctionCall':
        this.#expected.push({ kind: 'function' });
        break;
      default:
        break;
    }
  }

  /** Understands a server's message before it is passed on; called once for each, in order. */
  describeServerMessage(frame: Frame<ServerMessageType>): WireMessage {
    let sql: readonly string[] = [];
    const current = this.#expected[0];
    if (frame.type === 'ReadyForQuery') {
      const asked = current?.kind === 'query' && current.statement !== undefined ? [current.statement] : [];
      sql = [...this.#answered, ...asked].map((statement) => statement.sql);
    } else if (frame.type === 'ErrorResponse') sql = [this.#failing()?.sql].filter((text) => text !== undefined);
    else if (current?.statement !== undefined) sql = [current.statement.sql];
    else if (current?.prepared !== undefined) sql = [current.prepared.sql];
    return { direction: 'toClient', type: frame.type, connection: this, sql, execution: undefined };
  }

  /** Records a server's message that is being passed on. */
  recordServerMessage(frame: Frame<ServerMessageType>): void {
    const { type, body } = frame;
    const current = this.#expected[0];
    switch (type) {
      case 'BackendKeyData':
        this.processId = body?.readInt32BE(0);
        break;
      case 'ReadyForQuery':
        this.#ready(body);
        break;
      case 'ParseComplete':
      case 'BindComplete':
      case 'CloseComplete':
      case 'RowDescription':
      case 'NoData':
        // A simple Query is described unasked, and a Describe is answered by its last message.
        if (current?.kind !== 'query' && current?.kind !== 'execute') this.#expected.shift();
        break;
      case 'DataRow':
        if (current?.statement !== undefined) current.statement.rows += 1;
        break;
      case 'CommandComplete':
      case 'EmptyQueryResponse':
      case 'PortalSuspended':
        if (current?.statement === undefined) break;
        if (type === 'CommandComplete' && body !== undefined)
          current.statement.tags.push(new FieldReader(body).string());
        current.statement.outcome = 'done';
        if (current.kind === 'execute') {
          this.#answered.push(current.statement);
          this.#expected.shift();
        }
        break;
      case 'ErrorResponse':
        if (body !== undefined) this.#fail(readError(body));
        break;
      default:
        break;
    }
  }

  /** Records that the connection is over. */
  recordEnd(): void {
    this.closed = true;
    this.status = undefined;
    for (const { statement } of this.#expected) if (statement?.outcome === 'sent') statement.outcome = 'lost';
    this.#expected.length = 0;
  }

  #named(body: Buffer): Prepared | undefined {
    const name = new FieldReader(body.subarray(1)).string();
    return body[0] === 0x53 /* S */ ? this.#prepared.get(name) : this.#portals.get(name)?.prepared;
  }

  #record(
    statement: Pick<WireStatement, 'sql' | 'protocol' | 'parsed'> &
      Partial<Pick<WireStatement, 'parameters' | 'preparedAs'>>,
  ): WireStatement {
    const recorded: WireStatement = {
      parameters: undefined,
      preparedAs: undefined,
      ...statement,
      connection: this,
      roundTrip: this.roundTrips,
      outcome: 'sent',
      tags: [],
      rows: 0,
      error: undefined,
    };
    this.statements.push(recorded);
    this.onStatement(recorded);
    return recorded;
  }

  /** The statement that an error now is the failure of: also when its Parse or Bind fails and its Execute is skipped. */
  #failing(): WireStatement | undefined {
    const current = this.#expected[0];
    if (current?.statement !== undefined) return current.statement;
    // Outside a transaction the commit happens at the Sync, with what it checks (deferred constraints, serialization).
    if (current?.kind === 'sync') return this.#answered.at(-1);
    if (current?.prepared === undefined) return undefined;
    for (const later of this.#expected) {
      if (later.kind === 'sync') return undefined;
      if (later.kind === 'execute' && later.prepared === current.prepared) return later.statement;
    }
    return undefined;
  }

  #fail(error: WireError): void {
    this.errors.push(error);
    const failing = this.#failing();
    if (failing !== undefined) {
      failing.outcome = 'failed';
      failing.error = error;
    }
    if (error.severity !== 'ERROR' || this.#expected[0]?.kind === 'query') return;
    // The server reads on to the next Sync without doing anything.
    while (this.#expected[0] !== undefined && this.#expected[0].kind !== 'sync') {
      const statement = this.#expected.shift()?.statement;
      if (statement?.outcome === 'sent') statement.outcome = 'skipped';
      if (statement !== undefined) this.#answered.push(statement);
    }
  }

  #ready(body: Buffer | undefined): void {
    const letter = String.fromCharCode(body?.[0] ?? 0x49);
    this.status = letter === 'T' ? 'open' : letter === 'E' ? 'failed' : 'idle';
    this.#answered = [];
    while (this.#expected.length > 0) {
      const kind = this.#expected.shift()?.kind;
      if (kind === 'sync' || kind === 'query' || kind === 'function') break;
    }
  }
}
