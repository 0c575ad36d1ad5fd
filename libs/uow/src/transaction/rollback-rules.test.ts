import { rollsBack } from './rollback-rules.js';

class Base extends Error {}
class Middle extends Base {}
class Leaf extends Middle {}
class Other extends Error {}
function OldStyle(this: Error): void {
  this.message = 'old';
}
OldStyle.prototype = Object.create(Error.prototype) as object;

test('every error rolls back where no rule speaks [SP-30]', () => {
  expect([new Error(), 'text', null, undefined, 0].map((error) => rollsBack(error, [], []))).toEqual(
    Array(5).fill(true),
  );
});

test('noRollbackFor takes errors of the class and of those below it out', () => {
  expect([Base, Middle, Leaf].map((kind) => rollsBack(new kind(), [], [Middle]))).toEqual([true, false, false]);
});

test.each([
  ['Leaf', new Leaf(), [Base], [Middle], false],
  ['Leaf', new Leaf(), [Middle], [Base], true],
  ['Middle', new Middle(), [Leaf], [Base], false],
  ['Leaf', new Leaf(), [Leaf], [Leaf], true],
])(
  'the class nearest to a %s wins, whatever the order of the lists [SP-31]',
  (_, error, rollbackFor, noRollbackFor, expected) => {
    expect(rollsBack(error, rollbackFor, noRollbackFor)).toBe(expected);
    expect(rollsBack(error, [Other, ...rollbackFor], [...noRollbackFor, Other])).toBe(expected);
  },
);

test('noRollbackFor the root type never rolls back an error [SP-33]', () => {
  expect(rollsBack(new Leaf(), [], [Error])).toBe(false);
  expect(rollsBack('text', [], [Error])).toBe(true);
});

test('a class matches by identity, not by name [SP-34]', () => {
  const namesake = { Middle: class extends Error {} }.Middle;
  expect(rollsBack(new namesake(), [], [Middle])).toBe(true);
});

test('a predicate is as near as the error’s own class', () => {
  const never = (error: unknown): boolean => error instanceof Leaf;
  expect(rollsBack(new Leaf(), [], [never])).toBe(false);
  expect(rollsBack(new Middle(), [], [never])).toBe(true);
  expect(rollsBack(new Leaf(), [Base], [never])).toBe(false);
  expect(rollsBack(new Leaf(), [Leaf], [never])).toBe(true);
});

test('a class that is a function with a prototype of its own counts as a class', () => {
  const old = Object.create(OldStyle.prototype) as Error;
  expect(rollsBack(old, [], [OldStyle as never])).toBe(false);
});
