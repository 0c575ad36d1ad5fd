import fc from 'fast-check';
import type { EntityMapping, IdentityKey } from '../database/entity-mapping.js';
import { InstanceState } from './instance-state.js';
import { LargeIdentityTable } from './large-identity-table.js';

function stateOf(key: IdentityKey): InstanceState {
  const state = new InstanceState({}, {} as EntityMapping);
  state.key = key;
  return state;
}

/** Keys that are close together, far apart, and the same in their low bits. */
const keys = fc.oneof(
  fc.nat(40),
  fc.nat(40).map((at) => at * 2 ** 20),
  fc.integer(),
  fc.double({ noNaN: true }),
  fc.nat(40).map(String),
  fc.nat(40).map((at) => `9f1c7a52-3b1e-4b0e-9c55-${String(at).padStart(12, '0')}`),
);

test('holds what a map holds, in the same order, whatever is put in and taken out', () => {
  const steps = fc.array(fc.record({ adds: fc.nat(2), key: keys, again: fc.nat() }), {
    minLength: 100,
    maxLength: 400,
    size: 'max',
  });
  fc.assert(
    fc.property(steps, fc.integer({ min: 1, max: 5 }), (sequence, largestMap) => {
      const map = new Map<IdentityKey, InstanceState>();
      const table = new LargeIdentityTable([], largestMap);
      for (const { adds, key: fresh, again } of sequence) {
        const known = [...map.keys()];
        const key = again % 4 !== 0 && known.length > 0 ? known[again % known.length]! : fresh;
        if (adds > 0) {
          const state = stateOf(key);
          // What stood there under the key leaves, and the new one comes last.
          map.delete(key);
          map.set(key, state);
          table.set(key, state);
          table.set(key, state);
        } else {
          expect(table.delete(key)).toBe(map.delete(key));
        }
        expect(table.get(key)).toBe(map.get(key));
        expect(table.size).toBe(map.size);
      }
      for (const [key, state] of map) expect(table.get(key)).toBe(state);
      expect([...table.values()]).toEqual([...map.values()]);
      const visited: InstanceState[] = [];
      table.forEach((state) => visited.push(state));
      expect(visited).toEqual([...map.values()]);
    }),
  );
});

test('takes over what a map holds', () => {
  const states = Array.from({ length: 10_000 }, (_, at) => stateOf(at % 2 === 0 ? at : `${at}`));
  const table = new LargeIdentityTable(states);
  expect([...table.values()]).toEqual(states);
  for (const state of states) expect(table.get(state.key!)).toBe(state);
  expect(table.get(1)).toBeUndefined();
});
