import { Inject, Optional } from '@nestjs/common';
import { TransactionManager } from '../transaction/transaction-manager.js';

/**
 * Which application an object belongs to. Nest itself tells: a class with a transactional method declares one
 * hidden, optional property injection of the `TransactionManager`. Two applications in one process, which
 * instantiate the same classes, each set their own; nothing is shared but this weak map from objects.
 */
const owners = new WeakMap<object, TransactionManager>();

const OWNER = Symbol('nestjs-uow:owner');

/**
 * Makes Nest tell the application of every object of a class, and of the classes that extend it.
 *
 * @param prototype of the class whose methods are transactional
 * @param owned called with each object whose application has been told
 */
export function declareOwner(prototype: object, owned: (instance: object) => void): void {
  if (OWNER in prototype) return;
  Object.defineProperty(prototype, OWNER, {
    configurable: true,
    enumerable: false,
    get: () => undefined,
    set(this: object, manager: TransactionManager) {
      owners.set(this, manager);
      owned(this);
    },
  });
  Inject(TransactionManager)(prototype, OWNER);
  Optional()(prototype, OWNER);
}

/** The manager of the application that made the object, where Nest made it. */
export function ownerOf(instance: unknown): TransactionManager | undefined {
  return typeof instance === 'object' && instance !== null ? owners.get(instance) : undefined;
}
