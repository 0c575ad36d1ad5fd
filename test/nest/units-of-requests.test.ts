import { once } from 'node:events';
import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import { connect, createServer as createHttp2Server } from 'node:http2';
import type { Http2ServerResponse } from 'node:http2';
import type { AddressInfo, Server } from 'node:net';
import type { Warning } from '../../libs/uow/src/diagnostics/report.js';
import { RequestUnits } from '../../libs/uow/src/nest/request-units.js';
import type { RequestUnit } from '../../libs/uow/src/nest/request-unit.js';
import type { AmbientUnit } from '../../libs/uow/src/transaction/ambient-unit.js';
import type { TransactionContext } from '../../libs/uow/src/transaction/transaction-context.js';
import { TransactionManager } from '../../libs/uow/src/transaction/transaction-manager.js';
import { transactionFixture } from '../transaction/transaction-fixture.js';
import type { TransactionFixture } from '../transaction/transaction-fixture.js';

type Answer = ServerResponse | Http2ServerResponse;

/** How the unit of a request is closed once its response has ended. */
describe('the unit of an answered request', () => {
  let fixture: TransactionFixture;
  let warnings: Warning[];
  let units: RequestUnits;
  let unit: AmbientUnit;
  let context: TransactionContext;

  beforeAll(async () => {
    fixture = await transactionFixture();
  });

  afterAll(() => fixture.close());

  beforeEach(() => {
    warnings = [];
    units = new RequestUnits((warning) => warnings.push(warning));
    unit = fixture.transactions.openUnit('POST /notes');
    context = unit.contextOf(fixture.source)!;
  });

  test('is closed at once where no root scope runs any more', async () => {
    await unit.run(() => fixture.transactions.run(() => fixture.note('committed')));
    units.release(unit);
    expect([unit.closed, context.closed]).toEqual([true, true]);
    expect(await fixture.notes()).toContain('committed');
  });

  test('waits for a root scope that still runs', async () => {
    let finish!: () => void;
    const held = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const running = unit.run(() =>
      fixture.transactions.run(async () => {
        await fixture.note('late');
        await held;
      }),
    );
    units.release(unit);
    expect([unit.closed, context.closed]).toEqual([false, false]);
    finish();
    await running;
    await new Promise(setImmediate);
    expect([unit.closed, context.closed]).toEqual([true, true]);
    expect(await fixture.notes()).toContain('late');
  });

  test.each([
    [
      'throws',
      () => {
        throw new Error('no end');
      },
    ],
    ['rejects', () => Promise.reject(new Error('no end'))],
  ])('is reported when closing it %s', async (_, closer) => {
    context.onClose(closer);
    units.release(unit);
    await new Promise(setImmediate);
    expect(warnings).toMatchObject([
      { code: 'UOW_WARN_CLOSE_FAILED', message: 'The session of POST /notes could not be closed cleanly: no end' },
    ]);
  });

  test('formats no stack for a run() inside it', async () => {
    const { prepareStackTrace } = Error;
    let formatted = 0;
    Error.prepareStackTrace = (error) => {
      formatted++;
      return String(error);
    };
    try {
      await unit.run(() => fixture.transactions.run(() => undefined));
    } finally {
      Error.prepareStackTrace = prepareStackTrace;
    }
    expect(formatted).toBe(0);
  });

  describe('with a client that may go away', () => {
    test('gives the code that runs in it a signal, until the response has ended', async () => {
      await answering(async (request, response) => {
        const signalInside = (): AbortSignal | undefined =>
          request.run(() => units.disconnectSignal(fixture.transactions));
        const signal = signalInside();
        expect(signal?.aborted).toBe(false);
        await ended(response);
        expect([signal?.aborted, signalInside()]).toEqual([false, undefined]);
      });
    });

    test('gives none to another application of the process', async () => {
      await answering(async (request, response) => {
        expect(request.run(() => units.disconnectSignal(new TransactionManager()))).toBeUndefined();
        await ended(response);
      });
    });
  });

  describe('in which nothing of the library is used', () => {
    test('adds no listener to the response; the first use adds one', async () => {
      await answering(async (request, response) => {
        const before = response.listenerCount('close');
        request.run(() => undefined);
        expect(response.listenerCount('close')).toBe(before);
        request.contextOf(fixture.source);
        request.contextOf(fixture.source);
        expect(response.listenerCount('close')).toBe(before + 1);
        await ended(response);
      });
    });

    const isClosedWithItsResponse = async (request: RequestUnit, response: Answer): Promise<void> => {
      expect(request.closed).toBe(false);
      await ended(response);
      expect(request.closed).toBe(true);
      expect(request.contextOf(fixture.source)).toBeNull();
      expect(request.run(() => units.disconnectSignal(fixture.transactions))).toBeUndefined();
    };

    test('is closed with its response: what comes to use it later finds nothing', () =>
      answering(isClosedWithItsResponse));

    test('is closed with its response over HTTP/2, too', async () => {
      const server = createHttp2Server();
      const port = await listening(server);
      const client = connect(`http://127.0.0.1:${port}`);
      try {
        const worked = new Promise<void>((resolve, reject) => {
          server.on('request', (message, response) => {
            const request = units.open(message, fixture.transactions, null, 'GET /notes', response);
            isClosedWithItsResponse(request, response).then(resolve, reject);
          });
        });
        client.request({ ':path': '/notes' }).resume().end();
        await worked;
      } finally {
        client.close();
        server.close();
      }
    });
  });

  /** Answers one request of a real server, with a unit that `work` sees. */
  async function answering(work: (request: RequestUnit, response: ServerResponse) => Promise<void>): Promise<void> {
    const server = createServer();
    const port = await listening(server);
    try {
      const worked = new Promise<void>((resolve, reject) => {
        server.on('request', (message, response) => {
          work(units.open(message, fixture.transactions, null, 'GET /notes', response), response).then(resolve, reject);
        });
      });
      await Promise.all([worked, fetch(`http://127.0.0.1:${port}/notes`).then((answer) => answer.text())]);
    } finally {
      server.close();
    }
  }

  async function listening(server: Server): Promise<number> {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  }

  async function ended(response: Answer): Promise<void> {
    response.end('answered');
    await once(response, 'close');
  }
});
