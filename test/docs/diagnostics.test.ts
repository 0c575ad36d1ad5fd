import { reporting } from '../../libs/uow/src/diagnostics/report.js';
import { metrics } from './examples/diagnostics.js';

test('the subscriber that the page shows hears of a warning', () => {
  reporting(() => undefined)({ code: 'UOW_WARN_HOOK_FAILED', message: 'a test' });
  expect(metrics.counted).toEqual(['UOW_WARN_HOOK_FAILED']);
});
