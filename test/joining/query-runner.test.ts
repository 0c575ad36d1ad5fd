import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { QueryRunner } from 'typeorm';
import { Author, LibraryApp } from './library-app.js';

let app: LibraryApp;

beforeAll(async () => {
  app = await LibraryApp.start();
});

afterAll(async () => {
  await app[Symbol.asyncDispose]();
});

beforeEach(async () => {
  await app.clear();
});

test('manager.queryRunner shows the transaction inside it, and nothing outside', async () => {
  const { manager } = app.dataSource;
  expect(manager.queryRunner).toBeUndefined();
  await app.work.inTransaction(async () => {
    expect(manager.queryRunner?.isTransactionActive).toBe(true);
    expect(manager.queryRunner?.isReleased).toBe(false);
  });
  expect(manager.queryRunner).toBeUndefined();
});

test('a runner that was kept counts as released when its transaction has ended', async () => {
  let kept: QueryRunner | undefined;
  await app.work.inTransaction(async () => {
    kept = app.dataSource.manager.queryRunner;
    await kept?.query('SELECT 1');
  });
  expect(kept?.isReleased).toBe(true);
  await expect(kept?.query('SELECT 1')).rejects.toMatchObject({ code: 'UOW_TRANSACTION_CLOSED' });
});

test('release() on it does nothing', async () => {
  await app.work.inTransaction(async () => {
    await app.dataSource.manager.queryRunner?.release();
    await app.dataSource.getRepository(Author).insert({ name: 'Ada' });
  });
  expect(await app.authors()).toEqual(['Ada']);
});

test('its own transaction calls are savepoints', async () => {
  const seen = await app.proxy.record(() =>
    app.work.inTransaction(async () => {
      const runner = app.dataSource.manager.queryRunner as QueryRunner;
      await runner.manager.insert(Author, { name: 'Ada' });
      await runner.startTransaction();
      await runner.manager.insert(Author, { name: 'Grace' });
      await runner.rollbackTransaction();
    }),
  );
  expect(await app.authors()).toEqual(['Ada']);
  expect(seen.sql.filter((sql) => !sql.startsWith('INSERT'))).toEqual([
    'BEGIN',
    expect.stringMatching(/txid|xact_id/),
    'SAVEPOINT uow_1',
    'ROLLBACK TO SAVEPOINT uow_1',
    'RELEASE SAVEPOINT uow_1',
    'COMMIT',
  ]);
});

describe('dataSource.transaction() inside a scope', () => {
  test('is a savepoint: what it undoes leaves the rest', async () => {
    await app.work.inTransaction(async () => {
      await app.dataSource.getRepository(Author).insert({ name: 'Ada' });
      await app.dataSource
        .transaction(async (manager) => {
          await manager.insert(Author, { name: 'Grace' });
          throw new Error('undo');
        })
        .catch(() => undefined);
    });
    expect(await app.authors()).toEqual(['Ada']);
  });

  test('takes its isolation level as a demand on the open transaction', async () => {
    await expect(
      app.work.inTransaction(() =>
        app.dataSource.transaction('SERIALIZABLE', async (manager) => await manager.find(Author)),
      ),
    ).rejects.toMatchObject({ code: 'UOW_ILLEGAL_TRANSACTION_STATE' });
  });

  test('joins repositories that the callback uses beside its manager', async () => {
    await app.work.inTransaction(async () => {
      await app.dataSource
        .transaction(async () => {
          await app.dataSource.getRepository(Author).insert({ name: 'Grace' });
          throw new Error('undo');
        })
        .catch(() => undefined);
    });
    expect(await app.authors()).toEqual([]);
  });
});

describe('dataSource.transaction() outside every scope', () => {
  test('is TypeORM’s own, and not ambient: repositories beside its manager do not join', async () => {
    await app.dataSource
      .transaction(async (manager) => {
        await manager.insert(Author, { name: 'Ada' });
        await app.dataSource.getRepository(Author).insert({ name: 'Grace' });
        throw new Error('undo');
      })
      .catch(() => undefined);
    expect(await app.authors()).toEqual(['Grace']);
  });

  test('a transactional method that its callback calls begins its own, with a warning', async () => {
    const warnings: unknown[] = [];
    const listen = (warning: unknown): void => {
      warnings.push((warning as { code: string }).code);
    };
    subscribe('nestjs-uow:warning', listen);
    const seen = await app.proxy.record(() =>
      app.dataSource.transaction(async (manager) => {
        await manager.insert(Author, { name: 'Ada' });
        await app.work.inTransaction(() => app.dataSource.getRepository(Author).insert({ name: 'Grace' }));
      }),
    );
    unsubscribe('nestjs-uow:warning', listen);
    expect(seen.transcripts).toHaveLength(2);
    expect(warnings).toEqual(['UOW_WARN_SEPARATE_TRANSACTION']);
    expect(await app.authors()).toEqual(['Ada', 'Grace']);
  });
});
