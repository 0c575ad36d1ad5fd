import { IllegalTransactionStateError } from '../errors/transaction-errors.js';
import type { Propagation } from './transaction-definition.js';

/**
 * Spring's propagation on one screen: what a scope does, given whether a transaction is open around it.
 *
 * | propagation   | no transaction | open transaction                      |
 * | ------------- | -------------- | ------------------------------------- |
 * | REQUIRED      | begin          | join                                  |
 * | REQUIRES_NEW  | begin          | suspend it, begin another             |
 * | NESTED        | begin          | savepoint                             |
 * | SUPPORTS      | without        | join                                  |
 * | MANDATORY     | refuse         | join                                  |
 * | NOT_SUPPORTED | without        | suspend it, go on without             |
 * | NEVER         | without        | refuse                                |
 */
export type Participation = 'begin' | 'join' | 'savepoint' | 'suspendAndBegin' | 'suspendAndGoWithout' | 'goWithout';

/**
 * Reads the table.
 * @throws IllegalTransactionStateError for MANDATORY without and NEVER with a transaction
 */
export function participate(propagation: Propagation, label: string, openLabel: string | null): Participation {
  const open = openLabel !== null;
  switch (propagation) {
    case 'REQUIRED':
      return open ? 'join' : 'begin';
    case 'REQUIRES_NEW':
      return open ? 'suspendAndBegin' : 'begin';
    case 'NESTED':
      return open ? 'savepoint' : 'begin';
    case 'SUPPORTS':
      return open ? 'join' : 'goWithout';
    case 'MANDATORY':
      if (open) return 'join';
      throw new IllegalTransactionStateError(
        `${label} is MANDATORY, but no transaction is open around it. Call it from a transactional method, or declare REQUIRED.`,
      );
    case 'NOT_SUPPORTED':
      return open ? 'suspendAndGoWithout' : 'goWithout';
    case 'NEVER':
      if (!open) return 'goWithout';
      throw new IllegalTransactionStateError(
        `${label} is NEVER to run in a transaction, but ${openLabel} has one open around it. Call it before or after, or declare NOT_SUPPORTED.`,
      );
  }
}
