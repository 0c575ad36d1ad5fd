/** How a method answers: what has to be waited for before its transaction may end. */
export type ResultKind = 'promise' | 'observable' | 'iterable' | 'plain';

/** @param result what a method returned */
export function resultKind(result: unknown): ResultKind {
  if ((typeof result !== 'object' && typeof result !== 'function') || result === null) return 'plain';
  const { then, subscribe, pipe } = result as Record<string, unknown>;
  if (typeof then === 'function') return 'promise';
  if (typeof subscribe === 'function' && typeof pipe === 'function') return 'observable';
  // A Node stream is one too, but is used in more ways than by iteration.
  if (Symbol.asyncIterator in result && typeof pipe !== 'function') return 'iterable';
  return 'plain';
}

/**
 * What a method's declaration says: `async` and `async *` can be seen on the function; of the others the
 * compiler's metadata tells where it emits any.
 *
 * @param returnType the method's `design:returntype`
 */
export function declaredKind(method: object, returnType: unknown): ResultKind | undefined {
  const { name } = method.constructor;
  if (name === 'AsyncFunction') return 'promise';
  if (name === 'AsyncGeneratorFunction') return 'iterable';
  // `Object` stands for everything that is no class: interfaces, unions, type parameters.
  if (typeof returnType !== 'function' || returnType === Object) return undefined;
  return resultKind(returnType.prototype);
}
