import { participate } from './propagation.js';
import type { Participation } from './propagation.js';
import type { Propagation } from './transaction-definition.js';

/** Spring's table, written by hand: mode, without a transaction, with one. */
const TABLE: readonly [Propagation, Participation | 'refused', Participation | 'refused'][] = [
  ['REQUIRED', 'begin', 'join'],
  ['REQUIRES_NEW', 'begin', 'suspendAndBegin'],
  ['NESTED', 'begin', 'savepoint'],
  ['SUPPORTS', 'goWithout', 'join'],
  ['MANDATORY', 'refused', 'join'],
  ['NOT_SUPPORTED', 'goWithout', 'suspendAndGoWithout'],
  ['NEVER', 'goWithout', 'refused'],
];

const answer = (propagation: Propagation, open: string | null): string => {
  try {
    return participate(propagation, 'Inner.method', open);
  } catch (error) {
    expect(error).toMatchObject({ code: 'UOW_ILLEGAL_TRANSACTION_STATE' });
    expect((error as Error).message).toContain('Inner.method');
    if (open !== null) expect((error as Error).message).toContain(open);
    return 'refused';
  }
};

test.each(TABLE)('%s: %s without a transaction, %s in one [SP-01 to SP-11]', (propagation, without, within) => {
  expect([answer(propagation, null), answer(propagation, 'Outer.method')]).toEqual([without, within]);
});
