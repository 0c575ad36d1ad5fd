import type { Subscribable } from 'rxjs';
import type { TransactionOptions } from '../transaction/transaction-definition.js';
import { takeOnAppearance } from './method-metadata.js';
import { declareOwner } from './owning-application.js';
import { declaredKind } from './result-kind.js';
import { invokeTransactional } from './transactional-call.js';
import { declareTransactional, isDeclared, transactionalMethod, TransactionalMethod } from './transactional-method.js';
import type { AnyMethod } from './transactional-method.js';

/** What a transactional method may return: a promise, an Observable, or something for `for await`. */
export type TransactionalResult = PromiseLike<unknown> | Subscribable<unknown> | AsyncIterable<unknown>;

/** Decorates a method that returns a `TransactionalResult`, or a class. */
export interface TransactionalDecorator {
  (target: Function): void;
  <Method extends (...args: never[]) => TransactionalResult>(
    target: object,
    key: string | symbol,
    descriptor: TypedPropertyDescriptor<Method>,
  ): void;
}

/**
 * Runs the method in a transaction (Spring's `@Transactional`): what it returns commits, what it throws rolls
 * back. On a class it covers the methods that the class and those derived from it declare, not those that it
 * inherits; a method's own declaration replaces the class's. Calls among methods of one object count, since
 * the method itself is wrapped.
 *
 * @param options propagation, isolation, timeout and so on; REQUIRED by default
 * @throws NoApplicationError when it is called on an object that Nest did not make, outside every context of
 * an application
 *
 * @example
 * \@Transactional({ isolation: 'SERIALIZABLE', retry: { attempts: 3 } })
 * async close(month: string): Promise<void> { … }
 */
export function Transactional(options: TransactionOptions = {}): TransactionalDecorator {
  const declared = Object.freeze({ ...options });
  return ((target: object, key?: string | symbol, descriptor?: PropertyDescriptor) => {
    if (key === undefined) {
      decorateClass((target as { prototype: object }).prototype, declared);
      return;
    }
    if (descriptor === undefined || typeof descriptor.value !== 'function') {
      throw new TypeError(
        `@Transactional() stands on ${nameOf(target)}.${String(key)}, which is no method. Put it on methods or classes; a function in a property needs TransactionManager.run().`,
      );
    }
    descriptor.value = wrap(descriptor.value as AnyMethod, declared, target, key, false);
    if (typeof target !== 'function') declareOwner(target, coverDerived);
  }) as TransactionalDecorator;
}

/** Declarations of whole classes, by their prototypes. */
const classes = new WeakMap<object, TransactionOptions>();
/** Prototypes of derived classes that need no second look. */
const covered = new WeakSet<object>();

function decorateClass(prototype: object, options: TransactionOptions): void {
  classes.set(prototype, options);
  cover(prototype, options);
  declareOwner(prototype, coverDerived);
}

function cover(prototype: object, options: TransactionOptions): void {
  for (const key of Reflect.ownKeys(prototype)) {
    const descriptor = Object.getOwnPropertyDescriptor(prototype, key);
    if (key === 'constructor' || typeof descriptor?.value !== 'function') continue;
    if (isDeclared(descriptor.value as object)) continue;
    Object.defineProperty(prototype, key, {
      ...descriptor,
      value: wrap(descriptor.value as AnyMethod, options, prototype, key, true),
    });
  }
}

/**
 * A class's declaration is inherited (Spring's `@Inherited`): it covers what a derived class declares too. A
 * decorator cannot see derived classes; the first object that Nest makes of one shows it.
 */
export function coverDerived(instance: object): void {
  const first = Object.getPrototypeOf(instance) as object | null;
  if (first === null || covered.has(first)) return;
  covered.add(first);
  const derived: object[] = [];
  for (
    let prototype: object | null = first;
    prototype !== null && prototype !== Object.prototype;
    prototype = Object.getPrototypeOf(prototype) as object | null
  ) {
    const options = classes.get(prototype);
    if (options === undefined) derived.push(prototype);
    else for (const one of derived.splice(0)) cover(one, options);
  }
}

function wrap(
  method: AnyMethod,
  options: TransactionOptions,
  target: object,
  key: string | symbol,
  byClass: boolean,
): AnyMethod {
  // A composed decorator and one of the method's own: the upper one holds, as for every option of Nest.
  const original = transactionalMethod(method)?.original ?? method;
  const label = `${nameOf(target)}.${String(key)}`;
  const kind = declaredKind(original, Reflect.getMetadata('design:returntype', target, key));
  const declaration = new TransactionalMethod(options, original, label, byClass, kind);
  const wrapper: AnyMethod = function (...args) {
    return invokeTransactional(wrapper, declaration, this, args);
  };
  takeOnAppearance(wrapper, method);
  declareTransactional(wrapper, declaration);
  return wrapper;
}

function nameOf(target: object): string {
  return typeof target === 'function' ? target.name : target.constructor.name;
}
