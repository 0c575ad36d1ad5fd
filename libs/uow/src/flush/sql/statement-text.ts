import type { EntityMapping } from '../../database/entity-mapping.js';
import type { Statement } from '../../database/statement.js';

/** A text and its number, by which an error names it. The same shape always has the same text, so it stays prepared. */
export interface StatementText {
  readonly id: number;
  readonly text: string;
}

const texts = new WeakMap<EntityMapping, Map<string, StatementText>>();
let lastId = 0;

/** Builds the text of a shape once. */
export function textOf(mapping: EntityMapping, shape: string, build: (id: number) => string): StatementText {
  let known = texts.get(mapping);
  if (known === undefined) texts.set(mapping, (known = new Map<string, StatementText>()));
  let text = known.get(shape);
  if (text === undefined) {
    const id = ++lastId;
    text = { id, text: build(id) };
    known.set(shape, text);
  }
  return text;
}

export function arrayRows(text: string, values: readonly unknown[]): Statement {
  return { text, values, rowMode: 'array' };
}
