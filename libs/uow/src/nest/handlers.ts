import type { ModulesContainer } from '@nestjs/core';
import { transactionalMethod } from './transactional-method.js';

/**
 * Which handlers an application has, read from the metadata of its classes before anything runs: whether the
 * interceptor is needed at all depends on it. The names are those of Nest's packages, none of which has to be
 * installed.
 */
const PATTERN_METADATA = 'microservices:pattern';
const GATEWAY_METADATA = 'websockets:is_gateway';
const RESOLVER_METADATA = ['graphql:resolver_type', 'graphql:resolver_name'] as const;

type AnyClass = (abstract new (...args: never[]) => unknown) & { readonly prototype: object };

/**
 * True where the application has handlers that nothing opens a context for before guards run (messages,
 * gateways, GraphQL), or a controller's own method is transactional.
 */
export function needInterceptor(modules: ModulesContainer): boolean {
  for (const module of modules.values()) {
    for (const { metatype } of module.controllers.values()) {
      if (isClass(metatype) && hasMethod(metatype, isMessageHandlerOrTransactional)) return true;
    }
    for (const { metatype } of module.providers.values()) {
      if (!isClass(metatype)) continue;
      if (Reflect.hasMetadata(GATEWAY_METADATA, metatype)) return true;
      if (RESOLVER_METADATA.some((key) => Reflect.hasMetadata(key, metatype))) return true;
    }
  }
  return false;
}

/** The classes of the application's controllers and providers. */
export function* classesOf(modules: ModulesContainer): Generator<AnyClass> {
  for (const module of modules.values()) {
    for (const { metatype } of [...module.controllers.values(), ...module.providers.values()]) {
      if (isClass(metatype)) yield metatype;
    }
  }
}

function isClass(metatype: unknown): metatype is AnyClass {
  return typeof metatype === 'function' && typeof metatype.prototype === 'object' && metatype.prototype !== null;
}

function isMessageHandlerOrTransactional(method: Function): boolean {
  return Reflect.hasMetadata(PATTERN_METADATA, method) || transactionalMethod(method) !== undefined;
}

function hasMethod(type: AnyClass, test: (method: Function) => boolean): boolean {
  for (
    let prototype = type.prototype as object | null;
    prototype !== null && prototype !== Object.prototype;
    prototype = Object.getPrototypeOf(prototype) as object | null
  ) {
    for (const key of Reflect.ownKeys(prototype)) {
      const value: unknown = Object.getOwnPropertyDescriptor(prototype, key)?.value;
      if (typeof value === 'function' && key !== 'constructor' && test(value)) return true;
    }
  }
  return false;
}
