import type { DatabaseConnection } from '../database/database-connection.js';
import { mayWrite, outcomeOf, questionForId } from './commit-outcome.js';

test.each([
  'SELECT value FROM note WHERE value IN ($1)',
  ' select count(*), max("a"."id") FROM "account" "a"',
  'SELECT COALESCE(a, lower(b)) FROM t',
  'SELECT 1 FROM a JOIN (SELECT 2) b ON (a.x = b.x) WHERE (a.y = $1 AND (a.z = ANY ($2) OR NOT (a.z > 1)))',
  'FETCH 100 FROM "uow_cursor_1"',
  'SHOW transaction_isolation',
  'SAVEPOINT uow_1',
])('surely writes nothing: %s', (text) => {
  expect(mayWrite(text)).toBe(false);
});

test.each([
  'INSERT INTO note VALUES ($1)',
  'WITH x AS (DELETE FROM note RETURNING *) SELECT * FROM x',
  'SELECT * FROM note FOR UPDATE',
  'SELECT * FROM note FOR NO KEY UPDATE SKIP LOCKED',
  "SELECT nextval('s')",
  'SELECT my_function(1)',
  'SELECT "my function"(1)',
  'SELECT app.my_function (1)',
  'EXPLAIN ANALYZE DELETE FROM note',
  'CALL p()',
  'DO $$ BEGIN END $$',
  'COPY note FROM STDIN',
])('may write: %s', (text) => {
  expect(mayWrite(text)).toBe(true);
});

describe('since when the server runs', () => {
  const answer = (...row: (string | null)[]): Parameters<typeof outcomeOf>[2] => ({ rows: [row] }) as never;
  const connect = (): DatabaseConnection => ({ processId: 7, serverStarted: null }) as DatabaseConnection;

  test('is remembered of a connection to the server itself', () => {
    const connection = connect();
    expect(outcomeOf(null as never, connection, answer('1', '1000.5', '7'))).not.toBeNull();
    expect(connection.serverStarted).toBe('1000.5');
    expect(questionForId(connection).text).not.toContain('pg_postmaster_start_time');
    expect(outcomeOf(null as never, connection, answer('2'))).not.toBeNull();
  });

  test('is asked each time behind a pooler, which may have another server the next time', () => {
    const connection = connect();
    expect(outcomeOf(null as never, connection, answer('1', '1000.5', '8'))).not.toBeNull();
    expect(connection.serverStarted).toBeNull();
    expect(questionForId(connection).text).toContain('pg_postmaster_start_time');
  });

  test('says nothing where the transaction has no id', () => {
    expect(outcomeOf(null as never, connect(), answer(null, '1000.5', '7'))).toBeNull();
  });
});
