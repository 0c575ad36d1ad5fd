import fc from 'fast-check';
import type { PhysicalTransaction } from './physical-transaction.js';
import { Place } from './place.js';
import { SavepointStack } from './savepoint-stack.js';
import type { Savepoint } from './savepoint-stack.js';

const transaction = { isActive: true } as unknown as PhysicalTransaction;
const push = (stack: SavepointStack): Savepoint => stack.push(transaction, new Place('a test', false), false);
const texts = (stack: SavepointStack): string[] => stack.unsent().map(({ text }) => text);

test('a savepoint that nothing was sent in costs no SQL, however it ends', () => {
  const stack = new SavepointStack();
  stack.release(push(stack));
  expect(stack.rollBack(push(stack)).statements).toEqual([]);
  expect(texts(stack)).toEqual([]);
});

test('SAVEPOINT and RELEASE are sent in front of what comes next', () => {
  const stack = new SavepointStack();
  const first = push(stack);
  stack.answered(stack.unsent().length);
  stack.release(first);
  push(stack);
  expect(texts(stack)).toEqual(['RELEASE SAVEPOINT uow_1', 'SAVEPOINT uow_1']);
});

test('a failure on the server belongs to the innermost savepoint that the server knows', () => {
  const stack = new SavepointStack();
  const outer = push(stack);
  stack.answered(1);
  const inner = push(stack);
  expect(stack.noteServerFailure('failed')).toBe(true);
  expect([outer.failure, inner.failure]).toEqual(['failed', null]);
});

test('without one that the server knows, it is the transaction’s', () => {
  const stack = new SavepointStack();
  push(stack);
  expect(stack.noteServerFailure('failed')).toBe(false);
});

/** PostgreSQL's own stack of savepoints, as far as names go: a name may be there several times, the innermost counts. */
class Server {
  readonly stack: string[] = [];

  execute(text: string): void {
    const [, verb, name] = /^(SAVEPOINT|RELEASE SAVEPOINT|ROLLBACK TO SAVEPOINT) (\w+)$/.exec(
      text,
    ) as unknown as string[];
    if (verb === 'SAVEPOINT') {
      this.stack.push(name as string);
      return;
    }
    const index = this.stack.lastIndexOf(name as string);
    if (index === -1) throw new Error(`savepoint "${String(name)}" does not exist`);
    this.stack.length = verb === 'RELEASE SAVEPOINT' ? index : index + 1;
  }
}

test('against a model of the server: what is sent is never refused, and both stacks agree whenever all is sent', () => {
  const step = fc.oneof(
    fc.constant({ kind: 'push' } as const),
    fc.constant({ kind: 'send' } as const),
    fc.record({ kind: fc.constantFrom('release' as const, 'rollBack' as const), depth: fc.nat(4) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const stack = new SavepointStack();
      const server = new Server();
      const open: Savepoint[] = [];
      const send = (): void => {
        const unsent = stack.unsent();
        for (const { text } of unsent) server.execute(text);
        stack.answered(unsent.length);
        expect(server.stack).toEqual(open.map(({ name }) => name));
      };
      for (const one of steps) {
        if (one.kind === 'push') open.push(push(stack));
        else if (one.kind === 'send') send();
        else if (open.length > 0) {
          const at = open.length - 1 - (one.depth % open.length);
          const savepoint = open[at] as Savepoint;
          const ended = open.splice(at);
          if (one.kind === 'release') {
            expect(stack.release(savepoint)).toEqual(ended.reverse());
          } else {
            const { popped, statements } = stack.rollBack(savepoint);
            expect(popped).toEqual(ended.reverse());
            for (const { text } of statements) server.execute(text);
          }
        }
        expect(stack.top).toBe(open.at(-1) ?? null);
      }
      send();
    }),
    { numRuns: 1_000 },
  );
});
