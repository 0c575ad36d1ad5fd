import { setTimeout as pause } from 'node:timers/promises';
import { OverdueWatch } from './overdue-watch.js';

const named = (name: string): { overdue: () => string } => ({ overdue: () => name });

const told: string[] = [];
const tell = (what: string): void => void told.push(what);

beforeEach(() => {
  told.length = 0;
});

test('tells of each that stays open, once, and of none that was closed', async () => {
  const watch = new OverdueWatch(10, tell);
  const [a, b, c] = [named('a'), named('b'), named('c')];
  for (const one of [a, b, c]) watch.opened(one);
  watch.closed(b);
  while (told.length < 2) await pause(5);
  await pause(50);
  expect(told).toEqual(['a', 'c']);
  watch.closed(a);
  watch.closed(c);
  watch.opened(a);
  while (told.length < 3) await pause(5);
  expect(told).toEqual(['a', 'c', 'a']);
  watch.closed(a);
});

test('tells of nothing without a limit, nor of what has limits of its own', async () => {
  for (const limit of [0, Infinity]) new OverdueWatch(limit, tell).opened(named('a'));
  const watch = new OverdueWatch(5, tell);
  const limited = { overdue: null };
  watch.opened(limited);
  await pause(50);
  watch.closed(limited);
  expect(told).toEqual([]);
});
