import { parseArgs } from 'node:util';
import { counterMode } from './counters/counter-mode.js';
import { growthMode } from './growth/growth-mode.js';
import { probeMode } from './probes/probe-mode.js';
import { writePerformancePage } from './report/performance-page.js';
import { workloadMode } from './workloads/workload-mode.js';

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    contenders: { type: 'string' },
    update: { type: 'boolean', default: false },
    reference: { type: 'boolean', default: false },
  },
});
const only = values.contenders?.split(',');
const [mode] = positionals;
const { quick, reference, update } = values;
if (reference && (only !== undefined || positionals.some((each) => each !== 'growth'))) {
  throw new Error('The reference is of all workloads and contenders: --reference goes alone, or with growth.');
}
if (mode === 'probes') await probeMode({ only, names: positionals.slice(1) });
else if (mode === 'counters') await counterMode({ update });
else if (mode === 'growth') await growthMode({ quick, reference });
else await workloadMode({ groups: positionals, only, quick, reference });
if (reference && mode === undefined) await growthMode({ quick, reference });
if (reference) await writePerformancePage();
