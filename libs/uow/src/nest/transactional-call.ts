import { NoApplicationError } from '../errors/transaction-errors.js';
import { currentFrame } from '../transaction/ambient.js';
import { defineTransaction } from '../transaction/transaction-definition.js';
import type { TransactionDefinition } from '../transaction/transaction-definition.js';
import { TransactionManager } from '../transaction/transaction-manager.js';
import { ownerOf } from './owning-application.js';
import { takeOpened } from './transactional-method.js';
import type { TransactionalMethod } from './transactional-method.js';

const definitions = new WeakMap<TransactionalMethod, TransactionDefinition>();

/** The declaration's options, checked once. */
export function definitionOf(declaration: TransactionalMethod): TransactionDefinition {
  let definition = definitions.get(declaration);
  if (definition === undefined) {
    definition = defineTransaction(declaration.options, declaration.label);
    definitions.set(declaration, definition);
  }
  return definition;
}

/**
 * The application that a call belongs to: that of the object, where Nest made it; else that of the running
 * code, for objects made by `new` or by a factory.
 *
 * @throws NoApplicationError where there is neither
 */
export function applicationOf(self: unknown, label: string): TransactionManager {
  const manager = ownerOf(self) ?? runningManager();
  if (manager !== undefined) return manager;
  throw new NoApplicationError(
    `${label} is transactional, but the object that it was called on belongs to no running application with UowModule, and nothing around the call does. ` +
      `Let Nest provide the object, call it inside TransactionManager.run(), or, in a unit test that makes it by "new", test the method against an application of its own (Test.createTestingModule).`,
  );
}

function runningManager(): TransactionManager | undefined {
  const owner = currentFrame()?.owner;
  return owner instanceof TransactionManager ? owner : undefined;
}

/** Runs one call of a transactional method. */
export function invokeTransactional(
  wrapper: object,
  declaration: TransactionalMethod,
  self: unknown,
  args: unknown[],
): unknown {
  const { original, options } = declaration;
  let manager: TransactionManager;
  try {
    manager = applicationOf(self, declaration.label);
  } catch (error) {
    return Promise.reject(error as Error);
  }
  if (takeOpened(manager, wrapper)) return original.apply(self, args);
  return manager.execute(manager.database(options.dataSource), definitionOf(declaration), () =>
    original.apply(self, args),
  );
}
