import { innermostScope } from '../transaction/ambient.js';
import { defineTransaction } from '../transaction/transaction-definition.js';
import type { TransactionDefinition, TransactionOptions } from '../transaction/transaction-definition.js';
import type { TransactionManager } from '../transaction/transaction-manager.js';
import type { ResultKind } from './result-kind.js';

export type AnyMethod = (this: unknown, ...args: unknown[]) => unknown;

/** How a transactional method was declared; found by the function that stands in its place. */
export class TransactionalMethod {
  #definition: TransactionDefinition | null = null;

  constructor(
    readonly options: TransactionOptions,
    /** The function as it was written. */
    readonly original: AnyMethod,
    /** `Class.method`, as messages name it. */
    readonly label: string,
    /** True where the class was decorated: results that are not asynchronous are left alone. */
    readonly byClass: boolean,
    /** What it returns, as far as its declaration tells. */
    readonly declaredKind: ResultKind | undefined,
  ) {}

  /** The options, checked once, at the first call. */
  get definition(): TransactionDefinition {
    return (this.#definition ??= defineTransaction(this.options, this.label));
  }
}

const methods = new WeakMap<object, TransactionalMethod>();

/** Methods that a class's declaration passes over. */
const passedOver = new WeakSet<object>();

/** Keeps a method out of what a class's declaration covers. */
export function leaveUntransactional(method: object): void {
  passedOver.add(method);
}

/** True where a class's declaration has nothing to add: the method has its own, or wants none. */
export function isDeclared(method: object): boolean {
  return methods.has(method) || passedOver.has(method);
}

/** Keeps the declaration of the function that stands in a method's place. */
export function declareTransactional(wrapper: object, declaration: TransactionalMethod): void {
  methods.set(wrapper, declaration);
}

/** The declaration behind a function, where it is a transactional method. */
export function transactionalMethod(method: object): TransactionalMethod | undefined {
  return methods.get(method);
}

/** Tells that the running scope was opened for the next call of the handler, whose decorator then adds nothing. */
export function openForHandler(manager: TransactionManager, handler: object): void {
  const scope = innermostScope(manager);
  if (scope !== null && methods.has(handler)) scope.openedFor = handler;
}

/** True once, for the call whose scope was opened by `openForHandler`. */
export function takeOpened(manager: TransactionManager, wrapper: object): boolean {
  const scope = innermostScope(manager);
  if (scope?.openedFor !== wrapper) return false;
  scope.openedFor = null;
  return true;
}
