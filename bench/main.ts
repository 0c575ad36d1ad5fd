import { parseArgs } from 'node:util';
import { counterMode } from './counters/counter-mode.js';
import { growthMode } from './growth/growth-mode.js';
import { probeMode } from './probes/probe-mode.js';
import { workloadMode } from './workloads/workload-mode.js';

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    contenders: { type: 'string' },
    update: { type: 'boolean', default: false },
  },
});
const only = values.contenders?.split(',');
if (positionals[0] === 'probes') await probeMode({ only, names: positionals.slice(1) });
else if (positionals[0] === 'counters') await counterMode({ update: values.update });
else if (positionals[0] === 'growth') await growthMode({ quick: values.quick });
else await workloadMode({ groups: positionals, only, quick: values.quick });
