import type { ColumnMetadata } from './value-conversion.js';

/**
 * Reading and writing one property of an entity, as a function that is generated for it: one that many properties
 * share would look each name up anew.
 */

/** One embedded object on the way to a property. */
export interface PathStep {
  readonly name: string;
  create(): object;
}

export function embeddedPath(embedded: ColumnMetadata['embeddedMetadata']): PathStep[] {
  return (embedded?.embeddedMetadataTree ?? []).map((step) => ({
    name: step.propertyName,
    create: () => step.create() as object,
  }));
}

/** Gives undefined where an embedded object on the way is missing. */
export function compileGetter(owner: readonly PathStep[], name: string): (entity: object) => unknown {
  const [first, ...rest] = [...owner.map((step) => step.name), name].map((part) => JSON.stringify(part));
  return generate(
    '',
    `return function get(e) { return e[${first!}]${rest.map((part) => `?.[${part}]`).join('')}; }`,
    null,
  );
}

/** Makes the embedded objects on the way that are missing. */
export function compileSetter(owner: readonly PathStep[], name: string): (entity: object, value: unknown) => void {
  const last = generate<(entity: object, value: unknown) => void>(
    '',
    `return function set(e, v) { e[${JSON.stringify(name)}] = v; }`,
    null,
  );
  if (owner.length === 0) return last;
  return (entity, value) => {
    let at = entity as Record<string, unknown>;
    for (const step of owner) at = (at[step.name] ??= step.create()) as Record<string, unknown>;
    last(at, value);
  };
}

/**
 * Makes a function of text in which only positions and quoted names vary.
 * @param parameter what the text calls the argument
 */
export function generate<T>(parameter: string, body: string, argument: unknown): T {
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- the generated text holds only positions and quoted names
  return (new Function(parameter, `'use strict'; ${body}`) as (argument: unknown) => T)(argument);
}
