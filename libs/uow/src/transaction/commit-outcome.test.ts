import { mayWrite } from './commit-outcome.js';

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
