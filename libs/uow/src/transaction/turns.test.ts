import fc from 'fast-check';
import { Place } from './place.js';
import { Turns } from './turns.js';
import type { TurnLevel } from './turns.js';

const at = (label: string): Place => new Place(label, false);

/** Lets promises that are settled already go on. */
const settled = async (): Promise<void> => {
  await new Promise((resolve) => setImmediate(resolve));
};

const turns = (stallAfter = Infinity): Turns => new Turns(at('root'), stallAfter);

test('a free turn is taken at once, without a promise', () => {
  const one = turns();
  expect(one.take(one.root, at('a'))).toBeUndefined();
  expect(one.busy).toBe(true);
});

test('who waits is served in order, one at a time', async () => {
  const one = turns();
  const ran: string[] = [];
  void one.take(one.root, at('a'));
  for (const label of ['b', 'c']) void one.take(one.root, at(label))?.then(() => ran.push(label));
  one.give();
  await settled();
  expect(ran).toEqual(['b']);
  one.give();
  await settled();
  expect(ran).toEqual(['b', 'c']);
});

test('an operation that goes on comes before those that wait', async () => {
  const one = turns();
  const ran: string[] = [];
  void one.take(one.root, at('a'));
  void one.take(one.root, at('b'))?.then(() => ran.push('b'));
  const level = one.open(one.root, at('inner'));
  void one.take(one.root, at('a again'), true)?.then(() => ran.push('a again'));
  one.close(level);
  await settled();
  expect(ran).toEqual(['a again']);
});

test('the operation around a level has its turn again as soon as that is closed', async () => {
  const one = turns();
  const ran: string[] = [];
  void one.take(one.root, at('a'));
  void one.take(one.root, at('b'))?.then(() => ran.push('b'));
  const level = one.open(one.root, at('inner'));
  expect(one.closeInto(one.root, level, at('a'))).toBeUndefined();
  await settled();
  expect([one.busy, ran]).toEqual([true, []]);
  one.give();
  await settled();
  expect(ran).toEqual(['b']);
});

test('the operation around a level waits for what still runs in that, and no longer', async () => {
  const one = turns();
  const ran: string[] = [];
  void one.take(one.root, at('a'));
  void one.take(one.root, at('b'))?.then(() => ran.push('b'));
  const level = one.open(one.root, at('inner'));
  void one.take(level, at('inside'));
  void one.closeInto(one.root, level, at('a'))?.then(() => ran.push('a'));
  await settled();
  expect(ran).toEqual([]);
  one.give();
  await settled();
  expect(ran).toEqual(['a']);
});

test('while a level is open its parent’s operations wait, its own run', async () => {
  const one = turns();
  const ran: string[] = [];
  void one.take(one.root, at('opener'));
  const level = one.open(one.root, at('inner'));
  void one.take(one.root, at('outside'))?.then(() => ran.push('outside'));
  expect(one.take(level, at('inside'))).toBeUndefined();
  one.give();
  await settled();
  expect(ran).toEqual([]);
  one.close(level);
  await settled();
  expect(ran).toEqual(['outside']);
});

test('a level that is closed while one inside it is open is gone when that one closes', () => {
  const one = turns();
  void one.take(one.root, at('a'));
  const outer = one.open(one.root, at('outer'));
  void one.take(outer, at('b'));
  const inner = one.open(outer, at('inner'));
  one.close(outer);
  expect(one.top).toBe(inner);
  one.close(inner);
  expect(one.top).toBe(one.root);
});

test('whoever waits is refused when the transaction ends, each with its place', async () => {
  const one = turns();
  void one.take(one.root, at('a'));
  const waiting = ['b', 'c'].map((label) => one.take(one.root, at(label)) as Promise<void>);
  one.refuseAll((place) => new Error(`refused ${place.label}`));
  expect((await Promise.allSettled(waiting)).map((result) => (result as PromiseRejectedResult).reason.message)).toEqual(
    ['refused b', 'refused c'],
  );
});

test('whoever waits behind a silent level is refused with both places', async () => {
  const one = turns(20);
  void one.take(one.root, at('opener'));
  one.open(one.root, at('Audit.write'));
  await expect(one.take(one.root, at('session.flush()'))).rejects.toMatchObject({
    code: 'UOW_SCOPE_STALLED',
    message: expect.stringMatching(/^session\.flush\(\) waits for Audit\.write/) as string,
  });
});

/** What a random run does: an operation of a level, or a nested scope opened in it with a run of its own. */
type Step = { readonly kind: 'operation' } | { readonly kind: 'scope'; readonly branches: readonly Branch[] };
type Branch = readonly Step[];

const { branches } = fc.letrec<{ branches: Branch[]; step: Step }>((tie) => ({
  step: fc.oneof(
    { maxDepth: 3 },
    fc.constant<Step>({ kind: 'operation' }),
    fc.record({ kind: fc.constant('scope' as const), branches: tie('branches') }),
  ),
  branches: fc.array(fc.array(tie('step'), { maxLength: 4 }), { minLength: 1, maxLength: 3 }),
}));

test('against a stack: operations never overlap, and only the innermost open scope runs, whatever the branches do', async () => {
  await fc.assert(
    fc.asyncProperty(branches, async (tree) => {
      const one = turns();
      const stack: TurnLevel[] = [one.root];
      let running = 0;
      let operations = 0;
      const operation = async (level: TurnLevel): Promise<void> => {
        await one.take(level, at('operation'));
        expect(running).toBe(0);
        expect(stack.at(-1)).toBe(level);
        running += 1;
        await settled();
        running -= 1;
        operations += 1;
        one.give();
      };
      const scope = async (parent: TurnLevel, inside: readonly Branch[]): Promise<void> => {
        await one.take(parent, at('scope'));
        expect(stack.at(-1)).toBe(parent);
        const level = one.open(parent, at('scope'));
        stack.push(level);
        await run(level, inside);
        expect(stack.pop()).toBe(level);
        one.close(level);
      };
      const run = async (level: TurnLevel, inside: readonly Branch[]): Promise<void> => {
        await Promise.all(
          inside.map(async (branch) => {
            for (const step of branch) {
              if (step.kind === 'operation') await operation(level);
              else await scope(level, step.branches);
            }
          }),
        );
      };
      await run(one.root, tree);
      const count = (inside: readonly Branch[]): number =>
        inside.flat().reduce((sum, step) => sum + (step.kind === 'operation' ? 1 : count(step.branches)), 0);
      expect(operations).toBe(count(tree));
      expect([one.busy, one.top]).toEqual([false, one.root]);
    }),
    { numRuns: 200 },
  );
});
