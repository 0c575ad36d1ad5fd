import { readFile } from 'node:fs/promises';
import { pageWithReference, performancePage } from '../../bench/src/report/performance-page.js';

test('docs/reference/performance.md shows the reference results', async () => {
  const page = await readFile(performancePage, 'utf8');
  expect(page).toBe(await pageWithReference(page));
});
