import { Controller, Get, type INestApplication, Module, Param, Res } from '@nestjs/common';
import { APP_FILTER, NestFactory } from '@nestjs/core';
import {
  CommitOutcomeUnknownError,
  ConnectionLostError,
  DatabaseError,
  DeadlockError,
  EntityNotFoundError,
  LockNotAvailableError,
  PoolExhaustedError,
  SerializationFailureError,
  StaleDataError,
  TransactionRolledBackError,
  TransactionTimedOutError,
  UniqueViolationError,
} from 'nestjs-uow';
import { QueryFailedError } from 'typeorm';
import { ProblemDetailsFilter } from '../../apps/banking/src/http/problem-details.filter.js';

/** An error of the driver, as plain TypeORM code gets to see it. */
function queryFailed(sqlState: string): QueryFailedError {
  return new QueryFailedError('select', [], Object.assign(new Error('secret'), { code: sqlState }));
}

/** What is thrown, and the status and type of the problem that it becomes. */
const CASES: readonly [name: string, error: unknown, status: number, type: string][] = [
  ['StaleDataError', new StaleDataError('secret', 'Account', '1'), 409, '/problems/conflict'],
  [
    'SerializationFailureError',
    new SerializationFailureError('secret', { sqlState: '40001' }),
    409,
    '/problems/conflict',
  ],
  ['DeadlockError', new DeadlockError('secret', { sqlState: '40P01' }), 409, '/problems/conflict'],
  ['LockNotAvailableError', new LockNotAvailableError('secret', { sqlState: '55P03' }), 409, '/problems/conflict'],
  ['UniqueViolationError', new UniqueViolationError('secret', { sqlState: '23505' }), 409, '/problems/already-exists'],
  ['EntityNotFoundError', new EntityNotFoundError('secret', 'Account', '1'), 404, 'about:blank'],
  ['PoolExhaustedError', new PoolExhaustedError('secret', []), 503, 'about:blank'],
  ['TransactionTimedOutError', new TransactionTimedOutError('secret'), 503, 'about:blank'],
  ['ConnectionLostError', new ConnectionLostError('secret'), 503, 'about:blank'],
  ['a DatabaseError of another kind', new DatabaseError('secret', { sqlState: '22012' }), 500, 'about:blank'],
  ['TransactionRolledBackError', new TransactionRolledBackError('secret'), 500, 'about:blank'],
  ['CommitOutcomeUnknownError', new CommitOutcomeUnknownError('secret'), 500, 'about:blank'],
  ['QueryFailedError 40001', queryFailed('40001'), 409, '/problems/conflict'],
  ['QueryFailedError 40P01', queryFailed('40P01'), 409, '/problems/conflict'],
  ['QueryFailedError 23505', queryFailed('23505'), 409, '/problems/already-exists'],
  ['QueryFailedError 23514', queryFailed('23514'), 500, 'about:blank'],
  ['an Error', new Error('secret'), 500, 'about:blank'],
  ['a text', 'secret', 500, 'about:blank'],
  ['nothing', undefined, 500, 'about:blank'],
];

@Controller()
class ThrowingController {
  @Get('throw/:index')
  throwCase(@Param('index') index: string): never {
    throw CASES[Number(index)]?.[1];
  }

  @Get('late')
  throwLate(@Res() response: { write(text: string): void }): never {
    response.write('half of an ');
    throw new Error('secret');
  }
}

@Module({ controllers: [ThrowingController], providers: [{ provide: APP_FILTER, useClass: ProblemDetailsFilter }] })
class ThrowingModule {}

describe('the answer to', () => {
  let app: INestApplication;
  let url: string;
  beforeAll(async () => {
    app = await NestFactory.create(ThrowingModule, { logger: false });
    await app.listen(0, '127.0.0.1');
    url = await app.getUrl();
  });
  afterAll(async () => {
    await app.close();
  });

  it.each(CASES.map(([name, , status, type], index) => ({ name, index, status, type })))(
    '$name is $status $type',
    async ({ index, status, type }) => {
      const response = await fetch(`${url}/throw/${index}`);
      const text = await response.text();
      expect(response.status).toBe(status);
      expect(response.headers.get('content-type')).toMatch('application/problem+json');
      expect(JSON.parse(text)).toMatchObject({ status, type, title: expect.any(String) as string });
      // What was said inside stays inside.
      expect(text).not.toMatch('secret');
    },
  );

  it('an error after the first byte is a connection cut off', async () => {
    const response = await fetch(`${url}/late`);
    await expect(response.text()).rejects.toThrow('terminated');
  });
});
