import { ReturnedObject } from '../session/returned-object.js';

/** A field on objects that others made, which only its holder sees. */
export interface PrivateField<Value> {
  get(object: object): Value | undefined;
  set(object: object, value: Value): void;
}

/**
 * Makes such a field. It costs what a property costs; an entry of a WeakMap for every request costs the garbage
 * collector besides.
 */
export function privateField<Value>(): PrivateField<Value> {
  return class Field extends ReturnedObject {
    #value: Value;

    constructor(object: object, value: Value) {
      super(object);
      this.#value = value;
    }

    static get(object: object): Value | undefined {
      return #value in object ? object.#value : undefined;
    }

    static set(object: object, value: Value): void {
      if (#value in object) object.#value = value;
      else void new Field(object, value);
    }
  };
}
