import { privateField } from './private-field.js';

describe('a private field', () => {
  test('is read from the object it was written to, and from no other', () => {
    const field = privateField<string>();
    const object = {};
    field.set(object, 'value');
    expect([field.get(object), field.get({})]).toEqual(['value', undefined]);
  });

  test('is written again', () => {
    const field = privateField<string>();
    const object = {};
    field.set(object, 'first');
    field.set(object, 'second');
    expect(field.get(object)).toBe('second');
  });

  test('is not the field of another holder on the same object', () => {
    const [one, other] = [privateField<string>(), privateField<string>()];
    const object = {};
    one.set(object, 'one');
    expect(other.get(object)).toBeUndefined();
    other.set(object, 'other');
    expect([one.get(object), other.get(object)]).toEqual(['one', 'other']);
  });

  test('is seen by nobody else, on frozen objects too', () => {
    const field = privateField<string>();
    const object = Object.freeze({ url: '/' });
    field.set(object, 'value');
    expect(field.get(object)).toBe('value');
    expect(Reflect.ownKeys(object)).toEqual(['url']);
  });
});
