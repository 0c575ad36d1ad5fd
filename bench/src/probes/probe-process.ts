// One contender's process for one probe: opens the contender, then runs the probe as often as it is told.
import pg from 'pg';
import { CountingProxy } from '../wire/counting-proxy.js';
import type { ProbeRun, Sighting } from './probe.js';
import { probes } from './probes.js';
import type { OpenSubject } from './subject.js';

export type ProbeMessage = { readonly ready: boolean } | { readonly sighting: Sighting };

const [contender, name, url] = process.argv.slice(2) as [string, string, string];
const probe = probes.find((each) => each.name === name)!;
const { open } = (await import(`./subjects/${contender}.js`)) as { open: OpenSubject };
const proxy = await CountingProxy.start(url);
const subject = await open({ url: proxy.url, poolSize: probe.poolSize });
const observer = new pg.Client({ connectionString: url });
await observer.connect();

function tell(message: ProbeMessage): void {
  process.send!(message);
}

process.on('message', (run: number) => {
  void sight(run);
});

async function sight(run: number): Promise<void> {
  const prefix = `${contender} ${probes.indexOf(probe)}.${run}: `;
  const context: ProbeRun = {
    subject,
    proxy,
    observer,
    row: (row) => prefix + row,
    keptRows: async () => {
      const { rows } = await observer.query<{ value: string }>(
        'SELECT value FROM note WHERE starts_with(value, $1) ORDER BY value',
        [prefix],
      );
      return rows.map(({ value }) => value.slice(prefix.length));
    },
  };
  tell({ sighting: await probe.run(context) });
}

process.on('disconnect', () => {
  process.exit();
});
tell({ ready: probe.needs === undefined || subject[probe.needs] !== undefined });
