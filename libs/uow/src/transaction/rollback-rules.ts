/**
 * Which errors roll back. Every one does unless `noRollbackFor` says otherwise; where both lists match, the
 * class nearest to the thrown error's own wins, whatever the order of the lists (Spring's
 * `RuleBasedTransactionAttribute`).
 */

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- any constructor signature is a class
export type ErrorClass = abstract new (...args: any[]) => unknown;

/** A class of errors, or a function that looks at one. */
export type RollbackRule = ErrorClass | ((error: unknown) => boolean);

/** A predicate is as near as the error's own class: it saw this very error. */
const PREDICATE_DISTANCE = 0;

function isClass(rule: RollbackRule): rule is ErrorClass {
  return (
    typeof rule.prototype === 'object' &&
    rule.prototype !== null &&
    (rule.prototype === Error.prototype ||
      /^class\b/.test(Function.prototype.toString.call(rule)) ||
      rule.prototype instanceof Error)
  );
}

function distance(error: unknown, rule: RollbackRule): number {
  if (!isClass(rule)) return rule(error) ? PREDICATE_DISTANCE : Infinity;
  let steps = 0;
  let prototype: unknown = typeof error === 'object' && error !== null ? Object.getPrototypeOf(error) : null;
  while (typeof prototype === 'object' && prototype !== null) {
    if (prototype === rule.prototype) return steps;
    prototype = Object.getPrototypeOf(prototype);
    steps += 1;
  }
  return Infinity;
}

/** True where the rule is about the error. */
export function matchesRule(rule: RollbackRule, error: unknown): boolean {
  return distance(error, rule) !== Infinity;
}

function nearest(error: unknown, rules: readonly RollbackRule[]): number {
  return rules.reduce((best, rule) => Math.min(best, distance(error, rule)), Infinity);
}

/**
 * Tells whether the thrown value rolls the transaction back.
 * @param rollbackFor classes or predicates that roll back
 * @param noRollbackFor classes or predicates that commit; the same error is thrown on after COMMIT
 */
export function rollsBack(
  error: unknown,
  rollbackFor: readonly RollbackRule[],
  noRollbackFor: readonly RollbackRule[],
): boolean {
  if (noRollbackFor.length === 0) return true;
  const no = nearest(error, noRollbackFor);
  if (no === Infinity) return true;
  return nearest(error, rollbackFor) <= no;
}
