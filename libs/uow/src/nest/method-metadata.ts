import 'reflect-metadata';

/**
 * A wrapped method must look to Nest like the one it wraps: routes, guards, pipes, message patterns and
 * Swagger's descriptions are metadata on the function, and some libraries read `name` and `length`.
 *
 * @param wrapper the function that takes the place of `method`
 * @param method the function as it was written, with the metadata of the decorators below ours; those above
 * ours find the wrapper and write on it
 */
export function takeOnAppearance(wrapper: Function, method: Function): void {
  Object.defineProperty(wrapper, 'name', { value: method.name, configurable: true });
  Object.defineProperty(wrapper, 'length', { value: method.length, configurable: true });
  for (const key of Reflect.getOwnMetadataKeys(method)) {
    Reflect.defineMetadata(key, Reflect.getOwnMetadata(key, method), wrapper);
  }
  // Some decorators put plain properties on the function instead of metadata.
  for (const key of Reflect.ownKeys(method)) {
    if (Object.hasOwn(wrapper, key)) continue;
    const descriptor = Object.getOwnPropertyDescriptor(method, key);
    if (descriptor !== undefined) Object.defineProperty(wrapper, key, descriptor);
  }
}
