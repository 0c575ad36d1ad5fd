import fc from 'fast-check';
import { UnorderedList } from './unordered-list.js';

interface Entry {
  index: number;
}

test('holds what a set holds, whatever is added and removed', () => {
  const steps = fc.array(fc.record({ adds: fc.boolean(), which: fc.nat(9) }), { maxLength: 100 });
  fc.assert(
    fc.property(steps, (sequence) => {
      const entries = Array.from({ length: 10 }, (): Entry => ({ index: -1 }));
      const list = new UnorderedList<Entry>();
      const set = new Set<Entry>();
      for (const { adds, which } of sequence) {
        const entry = entries[which]!;
        if (!adds) {
          list.remove(entry);
          set.delete(entry);
        } else if (!set.has(entry)) {
          list.add(entry);
          set.add(entry);
        }
        expect(list.size).toBe(set.size);
        expect(new Set(list)).toEqual(set);
        expect([...list].every((one, index) => one.index === index)).toBe(true);
      }
    }),
  );
});
