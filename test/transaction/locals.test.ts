import { transactionFixture } from './transaction-fixture.js';
import type { TransactionFixture } from './transaction-fixture.js';
import { thrownBy } from './waiting.js';

/** `locals` are there before the first statement that reads, and gone with the transaction. */

let fixture: TransactionFixture;
beforeAll(async () => {
  fixture = await transactionFixture({
    poolSize: 1,
    schema: `CREATE TABLE document (tenant text, title text);
             INSERT INTO document VALUES ('acme', 'plan'), ('umbrella', 'virus');
             ALTER TABLE document ENABLE ROW LEVEL SECURITY;
             ALTER TABLE document FORCE ROW LEVEL SECURITY;
             CREATE POLICY own ON document USING (tenant = current_setting('app.tenant', true));
             CREATE ROLE uow_locals_reader NOLOGIN;
             GRANT SELECT ON document TO uow_locals_reader;`,
  });
});
afterAll(async () => {
  await fixture.database.query('DROP OWNED BY uow_locals_reader; DROP ROLE uow_locals_reader');
  await fixture.close();
});

const READ = 'SELECT title FROM document';

test('the first statement that reads sees them, in the same round trip', async () => {
  const { transactions, sql, proxy } = fixture;
  let titles: unknown;
  const seen = await proxy.record(() =>
    transactions.run({ locals: { role: 'uow_locals_reader', 'app.tenant': 'acme' } }, async () => {
      titles = await sql(READ);
    }),
  );
  expect(titles).toEqual([{ title: 'plan' }]);
  expect(seen.sql).toEqual(['BEGIN', 'SELECT set_config($1, $2, true), set_config($3, $4, true)', READ, 'COMMIT']);
  expect(seen.roundTrips).toBe(2);
});

test('they are gone with the transaction: the next one on the connection has none', async () => {
  const { transactions, sql } = fixture;
  await transactions.run({ locals: { 'app.tenant': 'acme' } }, () => sql('SELECT 1'));
  const rows = await transactions.run(() => sql(`SELECT current_setting('app.tenant', true) AS tenant`));
  expect(rows).toEqual([{ tenant: '' }]);
});

test('they are gone after a rollback too', async () => {
  const { transactions, sql } = fixture;
  await thrownBy(
    transactions.run({ locals: { 'app.tenant': 'acme' } }, async () => {
      await sql('SELECT 1');
      throw new Error('no');
    }),
  );
  const rows = await transactions.run(() => sql(`SELECT current_setting('app.tenant', true) AS tenant`));
  expect(rows).toEqual([{ tenant: '' }]);
});

test('values are parameters: what looks like SQL is a value', async () => {
  const { transactions, sql, proxy } = fixture;
  const nasty = `x', true); DROP TABLE document; --`;
  let rows: unknown;
  const seen = await proxy.record(async () => {
    rows = await transactions.run({ locals: { 'app.tenant': nasty } }, () =>
      sql(`SELECT current_setting('app.tenant') AS tenant`),
    );
  });
  expect(rows).toEqual([{ tenant: nasty }]);
  expect(seen.sql.join()).not.toContain('DROP');
});

test('numbers and booleans are set as text', async () => {
  const { transactions, sql } = fixture;
  const rows = await transactions.run({ locals: { 'app.user': 7, 'app.admin': false } }, () =>
    sql(`SELECT current_setting('app.user') AS u, current_setting('app.admin') AS a`),
  );
  expect(rows).toEqual([{ u: '7', a: 'false' }]);
});

test('a name that is no setting’s name is refused before anything is sent', async () => {
  const { transactions, note, proxy } = fixture;
  const seen = await proxy.record(() =>
    expect(transactions.run({ locals: { "x'; DROP TABLE note": 1 } }, () => note('a'))).rejects.toMatchObject({
      code: 'UOW_ILLEGAL_TRANSACTION_STATE',
    }),
  );
  expect(seen.sql).toEqual([]);
});

test('module defaults and the scope’s own come together, the scope’s win', async () => {
  await using other = await transactionFixture({ rootDefaults: { locals: { 'app.a': 'module', 'app.b': 'module' } } });
  const rows = await other.transactions.run({ locals: { 'app.b': 'scope' } }, () =>
    other.sql(`SELECT current_setting('app.a') AS a, current_setting('app.b') AS b`),
  );
  expect(rows).toEqual([{ a: 'module', b: 'scope' }]);
});

test('REQUIRES_NEW has its own', async () => {
  await using other = await transactionFixture();
  const read = (): Promise<unknown[]> => other.sql(`SELECT current_setting('app.tenant', true) AS tenant`);
  await other.transactions.run({ locals: { 'app.tenant': 'acme' } }, async () => {
    expect(await read()).toEqual([{ tenant: 'acme' }]);
    const inner = await other.transactions.run({ propagation: 'REQUIRES_NEW' }, read);
    expect(inner).not.toEqual([{ tenant: 'acme' }]);
    expect(await read()).toEqual([{ tenant: 'acme' }]);
  });
});

test('a scope without a transaction that declares them is refused: its reads would not be guarded', async () => {
  const { transactions } = fixture;
  await expect(
    transactions.run({ propagation: 'SUPPORTS', locals: { 'app.tenant': 'acme' } }, () => undefined),
  ).rejects.toMatchObject({ code: 'UOW_ILLEGAL_TRANSACTION_STATE' });
});
