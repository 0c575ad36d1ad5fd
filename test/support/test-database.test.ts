import { DataSource } from 'typeorm';
import { createTestDatabase, type TestDatabase } from './test-database.js';

describe('createTestDatabase', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase({
      schema: 'CREATE TABLE note (id int PRIMARY KEY); INSERT INTO note VALUES (1)',
    });
  });
  afterAll(async () => {
    await database.drop();
  });

  test('runs the schema and answers queries with parameters', async () => {
    expect(await database.query('SELECT id FROM note WHERE id = $1', [1])).toEqual([{ id: 1 }]);
  });

  test('gives TypeORM what it needs to connect', async () => {
    const dataSource = await new DataSource(database.typeorm).initialize();
    try {
      expect(await dataSource.query('SELECT count(*)::int AS n FROM note')).toEqual([{ n: 1 }]);
    } finally {
      await dataSource.destroy();
    }
  });

  test('query sees what is committed only, and activity who is connected', async () => {
    await database.untilNoConnection();
    const dataSource = await new DataSource({ ...database.typeorm, applicationName: 'application' }).initialize();
    const runner = dataSource.createQueryRunner();
    await runner.startTransaction();
    await runner.query('INSERT INTO note VALUES (2)');
    expect(await database.query('SELECT id FROM note')).toEqual([{ id: 1 }]);
    expect(await database.activity()).toEqual([
      expect.objectContaining({
        applicationName: 'application',
        state: 'idle in transaction',
        inTransaction: true,
        query: 'INSERT INTO note VALUES (2)',
      }),
    ]);
    await runner.rollbackTransaction();
    await database.untilNoTransaction();
    await runner.release();
    await dataSource.destroy();
    await database.untilNoConnection();
  });

  test('two databases do not meet', async () => {
    await using other = await createTestDatabase();
    expect(other.name).not.toBe(database.name);
    expect(await other.query(`SELECT to_regclass('note') AS found`)).toEqual([{ found: null }]);
  });

  test('drop removes it also while somebody is connected', async () => {
    const other = await createTestDatabase();
    const dataSource = await new DataSource(other.typeorm).initialize();
    await other.drop();
    expect(await database.query('SELECT FROM pg_database WHERE datname = $1', [other.name])).toEqual([]);
    await dataSource.destroy();
  });
});
