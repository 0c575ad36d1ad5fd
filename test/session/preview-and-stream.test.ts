import { setImmediate } from 'node:timers/promises';
import { ArrayRows } from '../../libs/uow/src/database/array-rows.js';
import type { DbSession } from '../../libs/uow/src/session/db-session.js';
import { inspectEntity } from '../../libs/uow/src/session/inspect.js';
import { collectGarbage } from '../support/collect-garbage.js';
import { Address, Node, Order, SA_ENTITIES, SA_TABLES, User } from './sa-entities.js';
import { SessionUnderTest } from './session-under-test.js';

let env: SessionUnderTest;
let session: DbSession;

beforeAll(async () => {
  env = await SessionUnderTest.start({ entities: SA_ENTITIES });
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  await env.database.query(`TRUNCATE ${SA_TABLES} RESTART IDENTITY CASCADE`);
  session = env.factory.open();
  env.sent();
});
afterEach(async () => {
  await session.close();
});

describe('previewFlush', () => {
  test('gives the statements of the next flush with their reasons, and sends nothing', async () => {
    const [ed, jack] = [User.named('ed'), User.named('jack')];
    session.addAll([ed, jack]);
    await session.flush();
    env.sent();
    ed.name = 'edward';
    session.add(User.named('new', Address.of('a'), Address.of('b')));
    const preview = session.previewFlush();
    expect(env.sent()).toEqual([]);
    expect(preview.map(({ steps }) => steps.map(({ kind, entity, rows }) => [kind, entity, rows]))).toEqual([
      [['insert', 'User', 1]],
      [['update', 'User', 1]],
      [['insert', 'Address', 2]],
    ]);
    expect(preview[1]!.reason).toBe('User: changed name');
    expect(preview[1]!.parameters).toContain('edward');
  });

  test('is what the flush then sends', async () => {
    session.add(User.named('ed', Address.of('a')));
    const preview = session.previewFlush();
    await session.flush();
    expect(env.statements()).toEqual(preview.map(({ sql }) => sql));
  });

  test('looks for rows that may have come since to what was written, expired and is deleted now', async () => {
    const root = Node.of('root', Node.of('child'));
    session.add(root);
    await session.commit();
    session.expireAll();
    env.sent();
    session.delete(root);
    const preview = session.previewFlush();
    await session.flush();
    expect(preview.map(({ sql }) => sql)).toEqual(env.statements());
    expect(preview[0]!.sql).toContain('SET "parent_id" = NULL');
  });

  describe('changes nothing', () => {
    const previewed = async (prepare: () => void): Promise<void> => {
      prepare();
      const events: unknown[] = [];
      session.on('stateChange', (event) => {
        events.push(event);
      });
      const picture = (): unknown => ({
        states: known.map((object) => ({ ...session.inspect(object), session: undefined })),
        values: known.map((object) => ({ ...object })),
        new: session.new,
        dirty: session.dirty,
        deleted: session.deleted,
        has: known.map((object) => session.has(object)),
      });
      const before = picture();
      const preview = session.previewFlush();
      expect(picture()).toEqual(before);
      expect(session.previewFlush()).toEqual(preview);
      expect(env.sent()).toEqual([]);
      expect(events).toEqual([]);
      await session.flush();
      expect(env.statements().slice(-preview.length)).toEqual(preview.map(({ sql }) => sql));
    };
    let known: object[];
    let ed: User;

    beforeEach(async () => {
      ed = User.named('ed', Address.of('a'), Address.of('b'));
      const order = Object.assign(new Order(), { description: 'one', user: ed });
      const node = Object.assign(new Node(), {
        data: 'root',
        children: [Object.assign(new Node(), { data: 'child' })],
      });
      session.addAll([ed, order, node]);
      await session.commit();
      [ed] = (await session.find(User, { relations: { addresses: true, orders: true } })) as [User];
      await session.find(Node, { relations: { children: true } });
      known = [ed, ...ed.addresses, ...ed.orders, node, ...node.children];
      env.sent();
    });

    test('when deletions take others along', () =>
      previewed(() => {
        session.deleteAll([ed, known.at(-2)!]);
      }));

    test('when a collection has lost an orphan', () =>
      previewed(() => {
        ed.orders.pop();
        ed.addresses.pop();
      }));

    test('when objects have become reachable', () =>
      previewed(() => {
        const added = Address.of('c');
        ed.addresses.push(added);
        known.push(added);
        ed.name = 'changed';
      }));

    test('when something that was added has lost its parent', () =>
      previewed(() => {
        const order = Object.assign(new Order(), { description: 'two' });
        ed.orders.push(order);
        session.add(ed);
        ed.orders.pop();
        known.push(order);
      }));

    test('when something detached has become reachable', () =>
      previewed(() => {
        const [address] = ed.addresses as [Address];
        session.expunge(address);
      }));
  });

  test('is empty where a flush would send nothing', () => {
    expect(session.previewFlush()).toEqual([]);
  });
});

describe('stream', () => {
  const fill = async (count: number): Promise<void> => {
    await env.database.query(`INSERT INTO users (name) SELECT 'user ' || n FROM generate_series(1, $1) AS n`, [count]);
    env.sent();
  };

  test('reads all rows batch by batch, untracked, in a read-only transaction of its own', async () => {
    await fill(25);
    const seen: User[] = [];
    for await (const user of session.stream(User, { order: { id: 'ASC' }, batchSize: 10 })) seen.push(user);
    expect(seen.map(({ id }) => id)).toEqual(Array.from({ length: 25 }, (_, at) => at + 1));
    expect(seen[0]).toBeInstanceOf(User);
    expect(inspectEntity(seen[0]!).state).toBe('transient');
    const sent = env.sent();
    expect(sent[0]).toBe('BEGIN READ ONLY');
    expect(sent.filter((sql) => sql.startsWith('FETCH FORWARD 10'))).toHaveLength(3);
    expect(env.core.heldConnections).toBe(0);
  });

  test('keeps nothing of the batches that are over', async () => {
    await fill(100);
    const columns: WeakRef<object>[] = [];
    const addFields = ArrayRows.prototype.addFields;
    ArrayRows.prototype.addFields = function (fields) {
      columns.push(new WeakRef(fields));
      addFields.call(this, fields);
    };
    try {
      let seen = 0;
      for await (const _ of session.stream(User, { batchSize: 5 })) {
        if (++seen !== 90) continue;
        await setImmediate();
        collectGarbage();
      }
    } finally {
      ArrayRows.prototype.addFields = addFields;
    }
    expect(columns.length).toBeGreaterThanOrEqual(20);
    expect(columns.slice(0, 18).filter((list) => list.deref() !== undefined).length).toBeLessThan(4);
  });

  test('takes conditions with parameters', async () => {
    await fill(20);
    const names: string[] = [];
    for await (const { name } of session.stream(User, { where: { id: 7 } })) names.push(name);
    expect(names).toEqual(['user 7']);
  });

  test('sees what the session’s transaction has written, and leaves it open', async () => {
    session.add(User.named('mine'));
    await session.flush();
    const names: string[] = [];
    for await (const { name } of session.stream(User)) names.push(name);
    expect(names).toEqual(['mine']);
    expect(session.inTransaction).toBe(true);
    expect(env.sent().some((sql) => sql.startsWith('CLOSE'))).toBe(true);
  });

  test('gives its connection back when the iteration is left early', async () => {
    await fill(20);
    for await (const user of session.stream(User, { batchSize: 5 })) {
      expect(user).toBeInstanceOf(User);
      break;
    }
    expect(env.core.heldConnections).toBe(0);
  });

  test('a commit during the iteration ends it with an error', async () => {
    await fill(20);
    await session.begin();
    await expect(
      (async () => {
        for await (const user of session.stream(User, { batchSize: 5 })) {
          if (user.id === 3) await session.commit();
        }
      })(),
    ).rejects.toMatchObject({ code: 'UOW_TRANSACTION_CLOSED' });
  });

  test('refuses relations', async () => {
    await expect(
      (async () => {
        for await (const user of session.stream(User, { relations: ['addresses'] } as object)) void user;
      })(),
    ).rejects.toThrow(/cannot be streamed/);
  });
});
