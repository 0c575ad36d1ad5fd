import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmbeddedPostgres } from '@nestjs-uow/embedded-postgres';
import { ambientContext, ambientTransaction } from '../../libs/uow/src/transaction/ambient.js';
import { COMMIT_MARKER_TABLE } from '../../libs/uow/src/transaction/commit-outcome.js';
import type { CommitPayload } from '../../libs/uow/src/transaction/transaction-synchronization.js';
import { ServerAddress } from '../support/server-address.js';
import { TestDatabase } from '../support/test-database.js';
import { transactionFixture } from './transaction-fixture.js';
import type { TransactionFixture } from './transaction-fixture.js';
import { thrownBy, until } from './waiting.js';

/** A COMMIT whose answer is lost is looked up, and believed only where that is certain. Every cut is counted. */

const UNKNOWN = { code: 'UOW_COMMIT_OUTCOME_UNKNOWN' };
const INSERT = 'INSERT INTO note VALUES ($1)';

/** Writes, and has the transaction's id read behind it, as a session's flush does. */
async function write(fixture: TransactionFixture, value: string): Promise<void> {
  const transaction = ambientTransaction(fixture.source) as NonNullable<ReturnType<typeof ambientTransaction>>;
  await transaction.run([{ text: INSERT, values: [value] }], { readTransactionId: true });
}

/** Lets the statements travel with COMMIT, as a session's last flush does. */
function sendWithCommit(fixture: TransactionFixture, value: string, settle: CommitPayload['settle']): void {
  const context = ambientContext(fixture.source);
  if (context === null) throw new Error('outside');
  context.synchronization = { prepareCommit: () => ({ statements: [{ text: INSERT, values: [value] }], settle }) };
}

let fixture: TransactionFixture;
beforeAll(async () => {
  fixture = await transactionFixture({ schema: 'CREATE FUNCTION writes() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$' });
  // A server that has counted for less than the tolerance is not told apart from one that has just crashed.
  const old = 'SELECT clock_timestamp() - stats_reset > interval $$3 s$$ AS old FROM pg_stat_bgwriter';
  while ((await fixture.database.query<{ old: boolean }>(old))[0]?.old !== true) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});
afterAll(async () => {
  await fixture.close();
});
beforeEach(async () => {
  await fixture.database.query('TRUNCATE note');
});
afterEach(() => {
  expect(fixture.source.heldConnections).toBe(0);
});

describe('COMMIT that arrived, its answer lost', () => {
  test('is found to be committed: the caller gets the value, afterCommit hooks run', async () => {
    const { transactions, proxy } = fixture;
    const ran: string[] = [];
    const cut = proxy.cut({ sql: 'COMMIT' }, 'after');
    const value = await transactions.run(async () => {
      transactions.afterCommit(() => ran.push('afterCommit'));
      transactions.afterCompletion((status) => ran.push(status));
      await write(fixture, 'a');
      return 7;
    });
    expect(cut.hits).toBe(1);
    expect(value).toBe(7);
    expect(ran).toEqual(['afterCommit', 'committed']);
    expect(await fixture.notes()).toEqual(['a']);
  });

  test('is found on a connection whose server start an earlier transaction has asked for: it is asked once', async () => {
    await using single = await transactionFixture({ poolSize: 1 });
    const { transactions, proxy } = single;
    const ids = async (value: string): Promise<string[]> => {
      const seen = await proxy.record(() => transactions.run(() => write(single, value)));
      return seen.sql.filter((sql) => sql.includes('xact_id'));
    };
    expect(await ids('a')).toEqual([expect.stringContaining('pg_postmaster_start_time()')]);
    expect(await ids('b')).toEqual(['SELECT pg_current_xact_id_if_assigned()']);
    const cut = proxy.cut({ sql: 'COMMIT' }, 'after');
    await transactions.run(() => write(single, 'c'));
    expect(cut.hits).toBe(1);
    // The connection after the lost one is asked anew.
    expect(await ids('d')).toEqual([expect.stringContaining('pg_postmaster_start_time()')]);
    expect(await single.notes()).toEqual(['a', 'b', 'c', 'd']);
  });

  test('of a transaction whose id was not read is CommitOutcomeUnknownError, with the lost connection as cause', async () => {
    const { transactions, note, proxy } = fixture;
    const ran: string[] = [];
    const cut = proxy.cut({ sql: 'COMMIT' }, 'after');
    const error = await thrownBy(
      transactions.run({ label: 'Orders.place' }, async () => {
        transactions.afterCommit(() => ran.push('afterCommit'));
        transactions.afterRollback(() => ran.push('afterRollback'));
        transactions.afterCompletion((status) => ran.push(status));
        await note('a');
      }),
    );
    expect(cut.hits).toBe(1);
    expect(error).toMatchObject({ ...UNKNOWN, message: expect.stringContaining('Orders.place') as string });
    expect(error.cause).toBeInstanceOf(Error);
    expect(ran).toEqual(['unknown']);
  });

  test('is never run again when unknown, whatever retry says', async () => {
    const { transactions, note, proxy } = fixture;
    let runs = 0;
    const cut = proxy.cut({ sql: 'COMMIT' }, 'after');
    await expect(
      transactions.run({ retry: { attempts: 3, backoff: 0, on: Error } }, async () => {
        runs += 1;
        await note(`run ${runs}`);
      }),
    ).rejects.toMatchObject(UNKNOWN);
    expect([cut.hits, runs]).toEqual([1, 1]);
  });

  test.each([
    ['read only', { readOnly: true }, 'SELECT value FROM note WHERE value = $1'],
    ['that only read', {}, 'SELECT count(*) FROM note WHERE value IN ($1)'],
  ])('of a transaction %s has no outcome to lose', async (_, options, text) => {
    const { transactions, sql, proxy } = fixture;
    const cut = proxy.cut({ sql: 'COMMIT' }, 'after');
    const rows = await transactions.run(options, () => sql(text, ['a']));
    expect(cut.hits).toBe(1);
    expect(rows).toBeDefined();
  });

  test('of a transaction that only read by SQL of a session has no outcome to lose, and leaves no marker', async () => {
    const read = async (own: TransactionFixture): Promise<void> => {
      const transaction = ambientTransaction(own.source) as NonNullable<ReturnType<typeof ambientTransaction>>;
      await transaction.run([{ text: 'SELECT count(*) FROM note' }], { readTransactionId: true });
    };
    const cut = fixture.proxy.cut({ sql: 'COMMIT' }, 'after');
    await fixture.transactions.run(() => read(fixture));
    expect(cut.hits).toBe(1);
    await using certain = await transactionFixture({
      options: { commitOutcome: 'certain' },
      schema: COMMIT_MARKER_TABLE,
    });
    await certain.transactions.run(() => read(certain));
    expect(await certain.database.query('SELECT 1 FROM uow_commit_marker')).toEqual([]);
  });

  test('of a transaction that called a function which may write is unknown', async () => {
    const { transactions, sql, proxy } = fixture;
    const cut = proxy.cut({ sql: 'COMMIT' }, 'after');
    await expect(transactions.run(() => sql('SELECT writes()'))).rejects.toMatchObject(UNKNOWN);
    expect(cut.hits).toBe(1);
  });

  test('with statements whose results are lost with it is AfterCommitError: committed, but memory does not know all', async () => {
    const { transactions, proxy } = fixture;
    const cut = proxy.cut({ sql: 'COMMIT' }, 'after');
    const error = await thrownBy(
      transactions.run(async () => {
        await write(fixture, 'a');
        sendWithCommit(fixture, 'b', () => undefined);
        return 7;
      }),
    );
    expect(cut.hits).toBe(1);
    expect(error).toMatchObject({ code: 'UOW_AFTER_COMMIT', result: 7, cause: { code: 'UOW_CONNECTION_LOST' } });
    expect(await fixture.notes()).toEqual(['a', 'b']);
  });
});

describe('COMMIT that never arrived', () => {
  test('is found to be aborted: a retryable error, and retry runs the work again, once', async () => {
    const { transactions, proxy } = fixture;
    const cut = proxy.cut({ sql: 'COMMIT' });
    await expect(transactions.run(() => write(fixture, 'a'))).rejects.toMatchObject({
      code: 'UOW_CONNECTION_LOST',
      retryable: true,
    });
    expect(cut.hits).toBe(1);
    await fixture.database.untilNoTransaction();
    expect(await fixture.notes()).toEqual([]);

    const again = proxy.cut({ sql: 'COMMIT' });
    let runs = 0;
    await transactions.run({ retry: { attempts: 3, backoff: 0 } }, () => write(fixture, `run ${(runs += 1)}`));
    expect([again.hits, runs]).toEqual([1, 2]);
    expect(await fixture.notes()).toEqual(['run 2']);
  });

  test('because the connection had gone before is a known abort without any look-up', async () => {
    const { transactions, note, proxy } = fixture;
    const seen = await proxy.record(async () => {
      await expect(
        transactions.run(async () => {
          await note('a');
          const used = proxy.statements.at(-1)?.connection;
          proxy.cutNow(used);
          await until(() => used?.closed === true);
          await new Promise((resolve) => setTimeout(resolve, 20));
        }),
      ).rejects.toMatchObject({ code: 'UOW_CONNECTION_LOST', retryable: true });
    });
    expect(seen.sql.join()).not.toContain('pg_xact_status');
    expect(await fixture.notes()).toEqual([]);
  });
});

test('a server that ends the connection between two statements ends the transaction, and nothing else', async () => {
  const { transactions, note, database, proxy } = fixture;
  await expect(
    transactions.run(async () => {
      await note('a');
      const pid = proxy.statements.at(-1)?.connection.processId;
      await database.query('SELECT pg_terminate_backend($1)', [pid]);
      await database.untilActivity((rows) => rows.every((row) => row.pid !== pid));
      await note('b');
    }),
  ).rejects.toMatchObject({ code: 'UOW_CONNECTION_LOST' });
  await transactions.run(() => note('c'));
  expect(await fixture.notes()).toEqual(['c']);
});

test('what fails in memory after COMMIT was answered does not make it rolled back: AfterCommitError', async () => {
  const { transactions, note } = fixture;
  const cause = new Error('memory');
  const error = await thrownBy(
    transactions.run(async () => {
      await note('a');
      sendWithCommit(fixture, 'b', () => {
        throw cause;
      });
    }),
  );
  expect(error).toMatchObject({ code: 'UOW_AFTER_COMMIT', committed: true });
  expect(error.cause).toBe(cause);
  expect(await fixture.notes()).toEqual(['a', 'b']);
});

describe("commitOutcome: 'certain'", () => {
  test('sends the last statements with a marker first, and COMMIT alone', async () => {
    await using certain = await transactionFixture({
      options: { commitOutcome: 'certain' },
      schema: COMMIT_MARKER_TABLE,
    });
    const { transactions, proxy } = certain;
    const seen = await proxy.record(() =>
      transactions.run(() => {
        sendWithCommit(certain, 'a', () => undefined);
      }),
    );
    expect(seen.sql.map((text) => text.split(' ').slice(0, 3).join(' '))).toEqual([
      'BEGIN',
      'INSERT INTO note',
      'INSERT INTO uow_commit_marker',
      'SELECT pg_current_xact_id_if_assigned(), extract(epoch',
      'COMMIT',
    ]);
    expect(seen.roundTrips).toBe(2);
  });

  test('knows the outcome of a write-only transaction both ways', async () => {
    await using certain = await transactionFixture({
      options: { commitOutcome: 'certain' },
      schema: COMMIT_MARKER_TABLE,
    });
    const { transactions, proxy, note } = certain;
    const after = proxy.cut({ sql: 'COMMIT' }, 'after');
    await transactions.run(() => note('a'));
    const before = proxy.cut({ sql: 'COMMIT' });
    await expect(transactions.run(() => note('b'))).rejects.toMatchObject({ retryable: true });
    expect([after.hits, before.hits]).toEqual([1, 1]);
    expect(await certain.notes()).toEqual(['a']);
  });

  test('keeps one row for each connection, however many transactions it commits', async () => {
    await using certain = await transactionFixture({
      poolSize: 1,
      options: { commitOutcome: 'certain' },
      schema: COMMIT_MARKER_TABLE,
    });
    for (const value of ['a', 'b', 'c']) await certain.transactions.run(() => certain.note(value));
    expect(await certain.database.query('SELECT count(*)::int AS rows FROM uow_commit_marker')).toEqual([{ rows: 1 }]);
  });

  test('leaves transactions that only read alone', async () => {
    await using certain = await transactionFixture({ options: { commitOutcome: 'certain' } });
    const seen = await certain.proxy.record(() => certain.transactions.run(() => certain.sql('SELECT 1')));
    expect(seen.sql).toEqual(['BEGIN', 'SELECT 1', 'COMMIT']);
  });

  test('without its table says how to make it', async () => {
    await using certain = await transactionFixture({ options: { commitOutcome: 'certain' } });
    await expect(certain.transactions.run(() => certain.note('a'))).rejects.toMatchObject({
      code: 'UOW_ILLEGAL_TRANSACTION_STATE',
      message: expect.stringContaining(COMMIT_MARKER_TABLE) as string,
    });
    expect(await certain.notes()).toEqual([]);
  });
});

describe('a server that went down while the outcome was looked up', () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'uow-outcome-'));
  });
  afterAll(async () => {
    await rm(directory, { recursive: true, force: true });
  });

  const settings = { shared_buffers: '16MB', max_connections: 20 };

  /** Loses the answer to COMMIT, has the server go down and come up again, and only then lets the look-up through. */
  async function loseCommit(
    own: TransactionFixture,
    value: string,
    down: () => Promise<void>,
  ): Promise<Record<string, unknown> | 'committed'> {
    // The work takes the connection that waits in the pool; the look-up, however quick, finds none.
    await own.transactions.run(() => own.sql('SELECT 1'));
    own.proxy.refuse('close');
    const cut = own.proxy.cut({ sql: 'COMMIT' }, 'after');
    const work = own.transactions
      .run(() => write(own, value))
      .then(
        () => 'committed' as const,
        (error: unknown) => error as Record<string, unknown>,
      );
    await until(() => cut.hits === 1);
    await down();
    own.proxy.refuse(undefined);
    return work;
  }

  async function untilItAnswers(address: ServerAddress): Promise<void> {
    for (;;) {
      const probe = new TestDatabase(address);
      try {
        await probe.query('SELECT 1');
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 50));
      } finally {
        await (await probe.connect().catch(() => undefined))?.end();
      }
    }
  }

  test('by a crash, or by a restart, is not believed to have committed; a marker is', async () => {
    let server = await startEmbeddedPostgres({ dataDirectory: directory, settings });
    try {
      const address = new ServerAddress(server.url());
      const crash = async (): Promise<void> => {
        const victim = new TestDatabase(address);
        const [row] = await victim.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
        // Every other connection ends when the server has noticed: what is asked before that is asked of the old one.
        const witness = await victim.connect('witness');
        const noticed = new Promise<void>((resolve) => {
          witness.once('end', resolve);
        });
        process.kill(row?.pid as number, 'SIGKILL');
        await noticed;
        await untilItAnswers(address);
      };
      const restart = async (): Promise<void> => {
        await server.stop();
        server = await startEmbeddedPostgres({ dataDirectory: directory, settings, port: address.port });
        await untilItAnswers(address);
      };
      await using lookup = await transactionFixture({
        database: new TestDatabase(address),
        schema: COMMIT_MARKER_TABLE,
      });
      expect(await loseCommit(lookup, 'crash', crash)).toMatchObject(UNKNOWN);
      expect(await loseCommit(lookup, 'restart', restart)).toMatchObject(UNKNOWN);

      await new TestDatabase(address).query('DROP TABLE note, uow_commit_marker');
      await using certain = await transactionFixture({
        database: new TestDatabase(address),
        options: { commitOutcome: 'certain' },
        schema: COMMIT_MARKER_TABLE,
      });
      expect(await loseCommit(certain, 'marked', crash)).toBe('committed');
    } finally {
      await server.stop();
    }
  }, 60_000);
});
