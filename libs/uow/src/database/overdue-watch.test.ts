import { setTimeout as pause } from 'node:timers/promises';
import { OverdueWatch } from './overdue-watch.js';
import type { Watched } from './overdue-watch.js';

const named = (name: string): Watched => ({ overdue: () => name, looks: 0 });

const told: string[] = [];
const tell = (what: string): void => void told.push(what);

beforeEach(() => {
  told.length = 0;
});

test('tells of each that stays open, once, and of none that was closed', async () => {
  const open = new Set(['a', 'b', 'c'].map(named));
  const [a, b, c] = [...open];
  const watch = new OverdueWatch(10, open, tell);
  watch.start();
  open.delete(b!);
  while (told.length < 2) await pause(5);
  await pause(50);
  expect(told).toEqual(['a', 'c']);
  open.delete(a!);
  open.delete(c!);
  await pause(50);
  open.add(named('d'));
  watch.start();
  while (told.length < 3) await pause(5);
  expect(told).toEqual(['a', 'c', 'd']);
  open.clear();
});

test('tells of nothing without a limit, nor of what has limits of its own', async () => {
  for (const limit of [0, Infinity]) new OverdueWatch(limit, [named('a')], tell).start();
  const open = new Set<Watched>([{ overdue: null, looks: 0 }]);
  const watch = new OverdueWatch(5, open, tell);
  watch.start();
  await pause(50);
  expect(told).toEqual([]);
});
