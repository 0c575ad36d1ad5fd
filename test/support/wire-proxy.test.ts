import { connect } from 'node:net';
import pg from 'pg';
import { createTestDatabase, type TestDatabase } from './test-database.js';
import { startWireProxy, type WireProxy } from './wire-proxy.js';

interface Wire {
  parse(query: { name?: string; text: string }): void;
  bind(config?: { portal?: string; statement?: string; values?: unknown[] }): void;
  execute(config?: { portal?: string; rows?: number }): void;
  sync(): void;
  flush(): void;
}

/** Sends messages of the extended protocol as given, and waits for ReadyForQuery. */
async function exchange(client: pg.Client, send: (wire: Wire) => void): Promise<void> {
  const { connection } = client as unknown as { connection: Wire & NodeJS.EventEmitter };
  await new Promise<void>((resolve) => {
    const ignore = (): void => undefined;
    const query = {
      submit: () => {
        (connection as unknown as { stream: { cork(): void; uncork(): void } }).stream.cork();
        send(connection);
        (connection as unknown as { stream: { uncork(): void } }).stream.uncork();
      },
      handleParseComplete: ignore,
      handleBindComplete: ignore,
      handleRowDescription: ignore,
      handleDataRow: ignore,
      handlePortalSuspended: ignore,
      handleCommandComplete: ignore,
      handleEmptyQuery: ignore,
      handleError: ignore,
      handleReadyForQuery: ignore,
    };
    connection.once('readyForQuery', () => {
      resolve();
    });
    client.query(query as unknown as pg.Submittable);
  });
}

let database: TestDatabase;
let proxy: WireProxy;
const clients: pg.Client[] = [];

async function login(): Promise<pg.Client> {
  const client = new pg.Client({ ...proxy.pg, application_name: 'bank' });
  client.on('error', () => undefined);
  clients.push(client);
  await client.connect();
  return client;
}

beforeAll(async () => {
  database = await createTestDatabase({
    schema: `CREATE TABLE note (id int PRIMARY KEY, text text);
             CREATE TABLE later (id int REFERENCES note DEFERRABLE INITIALLY DEFERRED)`,
  });
});
beforeEach(async () => {
  await database.query('TRUNCATE note, later');
  proxy = await startWireProxy(database);
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map(async (client) => await client.end().catch(() => undefined)));
  await proxy.close();
});
afterAll(async () => {
  await database.drop();
});

describe('the record', () => {
  test('has simple queries, their tags and their round trips', async () => {
    const client = await login();
    const seen = await proxy.record(async () => {
      await client.query('BEGIN');
      await client.query(`INSERT INTO note VALUES (1, 'a'), (2, 'b')`);
      await client.query('SELECT * FROM note; SELECT 1');
      await client.query('COMMIT');
    });
    expect(seen.log).toEqual([
      'BEGIN => BEGIN',
      `INSERT INTO note VALUES (1, 'a'), (2, 'b') => INSERT 0 2`,
      'SELECT * FROM note; SELECT 1 => SELECT 2, SELECT 1',
      'COMMIT => COMMIT',
    ]);
    expect(seen.roundTrips).toBe(4);
    expect(seen.statements.map(({ roundTrip }) => roundTrip)).toEqual([1, 2, 3, 4]);
    expect(seen.statements[2]?.rows).toBe(3);
    expect(seen.opened).toBe(0);
    expect(seen.bytesToServer).toBeGreaterThan(0);
    expect(proxy.opened).toBe(1);
  });

  test('shows an execution of the extended protocol as its SQL, with parameters', async () => {
    const client = await login();
    const insert = { name: 'insert', text: 'INSERT INTO note VALUES ($1, $2)' };
    const seen = await proxy.record(async () => {
      await client.query({ ...insert, values: [1, Buffer.from('a')] });
      await client.query({ ...insert, values: [2, null] });
      await client.query('SELECT text FROM note WHERE id = $1', [1]);
    });
    expect(seen.statements).toMatchObject([
      {
        sql: insert.text,
        protocol: 'extended',
        preparedAs: 'insert',
        parsed: true,
        parameters: ['1', Buffer.from('a')],
      },
      { sql: insert.text, preparedAs: 'insert', parsed: false, parameters: ['2', null], tags: ['INSERT 0 1'] },
      { sql: 'SELECT text FROM note WHERE id = $1', preparedAs: '', parsed: true, parameters: ['1'], rows: 1 },
    ]);
    expect(seen.roundTrips).toBe(3);
  });

  test('counts a batch with one Sync as one round trip, and shows what failed and what was skipped', async () => {
    const client = await login();
    const batch = ['BEGIN', 'SELECT 1', 'SELECT 1/0', 'INSERT INTO note VALUES (1)', 'COMMIT'];
    const seen = await proxy.record(async () => {
      await exchange(client, (wire) => {
        for (const text of batch) {
          wire.parse({ text });
          wire.bind();
          wire.execute();
        }
        wire.sync();
      });
      await client.query('ROLLBACK');
    });
    expect(seen.log).toEqual([
      'BEGIN => BEGIN',
      'SELECT 1 => SELECT 1',
      'SELECT 1/0 => ERROR 22012',
      'INSERT INTO note VALUES (1) => (skipped)',
      'COMMIT => (skipped)',
      'ROLLBACK => ROLLBACK',
    ]);
    expect(seen.statements.map(({ roundTrip }) => roundTrip)).toEqual([1, 1, 1, 1, 1, 2]);
  });

  test('counts a Flush that is waited for as a round trip of its own', async () => {
    const client = await login();
    const seen = await proxy.record(async () => {
      const { connection } = client as unknown as { connection: NodeJS.EventEmitter };
      await exchange(client, (wire) => {
        wire.parse({ text: 'SELECT generate_series(1, 3)' });
        wire.bind();
        wire.execute({ rows: 2 });
        wire.flush();
        connection.once('portalSuspended', () => {
          wire.execute({ rows: 0 });
          wire.sync();
        });
      });
    });
    expect(seen.statements).toMatchObject([
      { rows: 2, roundTrip: 1, tags: [], outcome: 'done' },
      { rows: 1, roundTrip: 2, tags: ['SELECT 1'] },
    ]);
    expect(seen.roundTrips).toBe(2);
  });

  test('attributes errors of Parse, of Bind and of the commit at a Sync to their statement', async () => {
    const client = await login();
    const seen = await proxy.record(async () => {
      await expect(client.query('SELECT nothing FROM nowhere WHERE $1', [1])).rejects.toThrow();
      await expect(client.query('SELECT $1::int', ['x'])).rejects.toThrow();
      await expect(client.query('INSERT INTO later VALUES ($1)', [7])).rejects.toThrow();
      await expect(client.query('INSERT INTO later VALUES (7)')).rejects.toThrow();
      await expect(client.query('COPY note FROM STDIN')).rejects.toThrow();
      await client.query('');
    });
    expect(seen.log).toEqual([
      'SELECT nothing FROM nowhere WHERE $1 => ERROR 42P01',
      'SELECT $1::int => ERROR 22P02',
      'INSERT INTO later VALUES ($1) => ERROR 23503',
      'INSERT INTO later VALUES (7) => ERROR 23503',
      'COPY note FROM STDIN => ERROR 57014',
      ' => ',
    ]);
    expect(seen.roundTrips).toBe(6);
    expect(proxy.connections[0]?.waiting).toBe(false);
  });

  test('keeps connections apart and knows which are inside a transaction', async () => {
    const [one, two] = [await login(), await login()];
    const seen = await proxy.record(async () => {
      await one.query('BEGIN');
      await two.query('BEGIN');
      await expect(two.query('SELECT 1/0')).rejects.toThrow();
      expect(proxy.openTransactions).toBe(2);
      await one.query('COMMIT');
      await two.query('COMMIT');
    });
    expect(seen.transcripts).toEqual([
      ['BEGIN', 'COMMIT'],
      ['BEGIN', 'SELECT 1/0', 'COMMIT'],
    ]);
    expect(seen.log.at(-1)).toBe('COMMIT => ROLLBACK');
    expect(proxy.openTransactions).toBe(0);
    expect(proxy.peakOpenTransactions).toBe(2);
    expect(proxy.connections.map(({ startup }) => startup['application_name'])).toEqual(['bank', 'bank']);
    const { rows } = await one.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    expect(proxy.connections[0]?.processId).toBe(rows[0]?.pid);
    proxy.clear();
    expect([proxy.sql, proxy.opened, proxy.roundTrips, proxy.peakOpenTransactions]).toEqual([[], 0, 0, 0]);
    expect(proxy.openConnections).toHaveLength(2);
  });

  test('has what a terminated connection was told', async () => {
    const client = await login();
    const [connection] = proxy.openConnections;
    const asleep = client.query('SELECT pg_sleep(60)').catch((error: unknown) => error);
    await database.untilActivity((rows) => rows.some(({ state }) => state === 'active'));
    await database.query('SELECT pg_terminate_backend($1)', [connection?.processId]);
    expect(await asleep).toMatchObject({ code: '57P01' });
    expect(connection).toMatchObject({ errors: [{ severity: 'FATAL', code: '57P01' }] });
    await proxy.settled();
    expect(proxy.openConnections).toEqual([]);
  });
});

describe('passing on', () => {
  test('lets large rows and large statements through unchanged', async () => {
    const client = await login();
    const size = 24 * 1024 * 1024;
    const { rows } = await client.query<{ text: string }>(`SELECT repeat('ab', ${size / 2}) AS text`);
    expect(rows[0]?.text.length).toBe(size);
    const text = 'cd'.repeat(size / 4);
    const echoed = await client.query<{ length: number }>('SELECT length($1) AS length', [text]);
    expect(echoed.rows[0]?.length).toBe(text.length);
  });

  test('declines encryption and then goes on in the clear', async () => {
    const socket = connect(proxy.address.port, proxy.address.host);
    socket.write(Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]));
    const answer = await new Promise<Buffer>((resolve) => socket.once('data', resolve));
    expect(answer.toString()).toBe('N');
    socket.destroy();
    const client = new pg.Client({ ...proxy.pg, ssl: true });
    await expect(client.connect()).rejects.toThrow('does not support SSL');
    expect(proxy.opened).toBe(0);
  });

  test('passes cancel requests and says whom they are for', async () => {
    const client = await login();
    const asleep = client.query('SELECT pg_sleep(60)').catch((error: unknown) => error);
    await database.untilActivity((rows) => rows.some(({ state }) => state === 'active'));
    const { secretKey } = client as unknown as { secretKey: number };
    const packet = Buffer.alloc(16);
    packet.writeInt32BE(16, 0);
    packet.writeInt32BE(80877102, 4);
    packet.writeInt32BE(proxy.connections[0]?.processId ?? 0, 8);
    packet.writeInt32BE(secretKey, 12);
    connect(proxy.address.port, proxy.address.host).end(packet);
    expect(await asleep).toMatchObject({ code: '57014' });
    expect(proxy.cancelRequests).toEqual([{ processId: proxy.connections[0]?.processId }]);
    expect(proxy.connections).toHaveLength(1);
  });

  test('tells the server when a client hangs up', async () => {
    const client = await login();
    await client.query('BEGIN');
    (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
    await database.untilNoConnection();
    await proxy.untilClosed();
    expect(proxy.openTransactions).toBe(0);
  });

  test('delays each direction by at least what is asked', async () => {
    const client = await login();
    proxy.delay({ toServer: 4.5, toClient: 4.5 });
    const from = performance.now();
    for (let query = 0; query < 5; query++) await client.query('SELECT 1');
    expect(performance.now() - from).toBeGreaterThanOrEqual(45);
    proxy.delay({});
  });
});

describe('hold', () => {
  test('keeps COMMIT from the server until released', async () => {
    const client = await login();
    const hold = proxy.hold({ sql: 'commit' });
    await client.query('BEGIN');
    await client.query('INSERT INTO note VALUES (1)');
    const commit = client.query('COMMIT');
    await hold.hit();
    expect(hold.held).toMatchObject([{ type: 'Query', sql: ['COMMIT'] }]);
    expect(await database.query('SELECT id FROM note')).toEqual([]);
    expect(proxy.sql).not.toContain('COMMIT');
    hold.release();
    await commit;
    expect(await database.query('SELECT id FROM note')).toEqual([{ id: 1 }]);
    await client.query('BEGIN');
    await client.query('COMMIT');
    expect(hold.hits).toBe(1);
  });

  test('keeps the answer to COMMIT from the client', async () => {
    const client = await login();
    const hold = proxy.hold({ direction: 'toClient', sql: 'COMMIT' });
    await client.query('BEGIN');
    await client.query('INSERT INTO note VALUES (1)');
    let done = false;
    const commit = client.query('COMMIT').then(() => (done = true));
    await hold.hit();
    expect(await database.query('SELECT id FROM note')).toEqual([{ id: 1 }]);
    expect(done).toBe(false);
    hold.release();
    await commit;
  });

  test('stops an extended execution once, at its first message, and lets others pass', async () => {
    const [one, two] = [await login(), await login()];
    const hold = proxy.hold({ sql: /^INSERT/ });
    const first = one.query('INSERT INTO note VALUES ($1)', [1]);
    const second = two.query('INSERT INTO note VALUES ($1)', [2]);
    await hold.hit(2);
    expect(hold.held.map(({ type }) => type)).toEqual(['Parse', 'Parse']);
    await database.query('SELECT 1');
    hold.releaseNext();
    await first;
    expect(await database.query('SELECT id FROM note')).toEqual([{ id: 1 }]);
    expect(hold.hits).toBe(2);
    hold.release();
    await second;
  });

  test('can hold any message by type, and ReadyForQuery by what it answers', async () => {
    const client = await login();
    const sync = proxy.hold({ type: 'Sync', sql: 'SELECT $1::int' });
    const ready = proxy.hold({ direction: 'toClient', type: 'ReadyForQuery', sql: /select \$1/i, times: 1 });
    const query = client.query('SELECT $1::int', [1]);
    await sync.hit();
    expect(ready.hits).toBe(0);
    sync.release();
    await ready.hit();
    ready.release();
    await query;
    await client.query('SELECT $1::int', [2]);
    expect([sync.hits, ready.hits]).toEqual([1, 1]);
  });
});

test('hold can delay a cancel request, so that it comes late', async () => {
  const client = await login();
  const hold = proxy.hold({ type: 'CancelRequest' });
  const packet = Buffer.alloc(16);
  packet.writeInt32BE(16, 0);
  packet.writeInt32BE(80877102, 4);
  packet.writeInt32BE(proxy.connections[0]?.processId ?? 0, 8);
  packet.writeInt32BE((client as unknown as { secretKey: number }).secretKey, 12);
  connect(proxy.address.port, proxy.address.host).end(packet);
  await hold.hit();
  await client.query('SELECT 1');
  expect(proxy.cancelRequests).toEqual([]);
  const asleep = client.query('SELECT pg_sleep(60)').catch((error: unknown) => error);
  await database.untilActivity((rows) => rows.some(({ state }) => state === 'active'));
  hold.release();
  expect(await asleep).toMatchObject({ code: '57014' });
});

describe('cut', () => {
  test('before COMMIT: nothing is committed, and the client sees its connection end', async () => {
    const client = await login();
    const cut = proxy.cut({ sql: 'COMMIT' }, 'before');
    await client.query('BEGIN');
    await client.query('INSERT INTO note VALUES (1)');
    await expect(client.query('COMMIT')).rejects.toThrow(/Connection terminated|ECONNRESET/);
    expect(cut.hits).toBe(1);
    expect(proxy.sql).toEqual(['BEGIN', 'INSERT INTO note VALUES (1)']);
    await database.untilNoConnection();
    expect(await database.query('SELECT id FROM note')).toEqual([]);
  });

  test.each(['simple', 'extended'] as const)(
    'after COMMIT (%s): committed, and the client does not know',
    async (protocol) => {
      const client = await login();
      proxy.cut({ sql: 'COMMIT' }, 'after');
      await client.query('BEGIN');
      await client.query('INSERT INTO note VALUES (1)');
      const commit =
        protocol === 'simple'
          ? client.query('COMMIT')
          : client.query({ text: 'COMMIT', queryMode: 'extended' } as pg.QueryConfig);
      await expect(commit).rejects.toThrow(/Connection terminated|ECONNRESET/);
      await database.untilNoConnection();
      expect(await database.query('SELECT id FROM note')).toEqual([{ id: 1 }]);
      expect(proxy.log.at(-1)).toBe('COMMIT => (lost)');
    },
  );

  test('at an answer, and only as often as asked', async () => {
    const [one, two] = [await login(), await login()];
    proxy.cut({ direction: 'toClient', sql: 'SELECT 1' }, 'before');
    await expect(one.query('SELECT 1')).rejects.toThrow(/Connection terminated|ECONNRESET/);
    await two.query('SELECT 1');
    proxy.cutNow();
    await expect(two.query('SELECT 1')).rejects.toThrow();
    expect(proxy.openConnections).toEqual([]);
  });
});

test('refuse answers logins with an error or not at all', async () => {
  proxy.refuse({ code: '53300', message: 'sorry, too many clients already' });
  await expect(login()).rejects.toMatchObject({ code: '53300' });
  proxy.refuse('close');
  await expect(login()).rejects.toThrow();
  proxy.refuse(undefined);
  await login();
  expect(proxy.opened).toBe(3);
});
