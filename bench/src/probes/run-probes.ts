import type { Contender } from '../contenders/contenders.js';
import { broken, type Probe, type Sighting } from './probe.js';
import type { ProbeMessage } from './probe-process.js';
import { ContenderProcess } from '../process/contender-process.js';

/** How often a probe saw what, with one contender. */
export interface Finding {
  readonly probe: string;
  readonly contender: Contender;
  /** Most frequent first; empty where the contender does not offer what the probe is about. */
  readonly sightings: readonly (Sighting & { readonly times: number })[];
}

const startPatience = 20_000;

/** Runs one probe with one contender, in a process of its own that is replaced when it ends or hangs. */
export async function runProbe(probe: Probe, contender: Contender, url: string): Promise<Finding> {
  const sightings: Sighting[] = [];
  let process: ContenderProcess<ProbeMessage> | undefined;
  try {
    for (let run = 0; run < probe.repetitions; run++) {
      if (process === undefined) {
        process = new ContenderProcess(
          new URL('./probe-process.js', import.meta.url),
          [contender, probe.name, url],
          [],
          'development',
        );
        const message = await process.next(startPatience);
        if (message.kind !== 'message' || !('ready' in message.message)) {
          throw new Error(`${contender} did not start for ${probe.name}: ${process.errors}`);
        }
        if (!message.message.ready) return { probe: probe.name, contender, sightings: [] };
      }
      process.send(run);
      const answer = await process.next(probe.patience);
      if (answer.kind === 'message' && 'sighting' in answer.message) {
        sightings.push(answer.message.sighting);
        if (!answer.message.sighting.spent) continue;
      } else {
        sightings.push(broken(answer.kind === 'ended' ? `the process ends: ${process.lastError}` : 'hangs'));
      }
      await process.end();
      process = undefined;
    }
  } finally {
    await process?.end();
  }
  return { probe: probe.name, contender, sightings: tally(sightings) };
}

function tally(sightings: readonly Sighting[]): Finding['sightings'] {
  const times = new Map<string, { sighting: Sighting; times: number }>();
  for (const sighting of sightings) {
    const found = times.get(sighting.seen) ?? { sighting, times: 0 };
    found.times += 1;
    times.set(sighting.seen, found);
  }
  return [...times.values()]
    .sort((a, b) => b.times - a.times)
    .map(({ sighting, times: count }) => ({ ...sighting, times: count }));
}
