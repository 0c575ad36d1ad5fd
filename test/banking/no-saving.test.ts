import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const SOURCES = new URL('../../apps/banking/src/', import.meta.url).pathname;

/** Ways to hand an object to TypeORM by oneself, one by one. */
const BY_HAND = /\.(?:save|remove|softRemove|recover|upsert)\(/;

test('the bank saves no object by hand: its sessions find what has changed', () => {
  const files = readdirSync(SOURCES, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'));
  expect(files.length).toBeGreaterThan(20);
  const saving = files.filter((path) => BY_HAND.test(readFileSync(join(SOURCES, path), 'utf8')));
  expect(saving).toEqual([]);
});
