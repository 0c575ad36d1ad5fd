/** One contender's processes, all alike: compilers are kinder to one than to another, and not for a single round. */
export interface Alike<Process> {
  readonly processes: readonly Process[];
}

/**
 * Visits all in turn and then all the way back, one after the other, so that a machine that gets faster or slower
 * meanwhile does so for each. The way back meets another process of each, where it has several.
 */
export async function thereAndBack<One extends Alike<unknown>>(
  all: readonly One[],
  visit: (one: One, process: One['processes'][number]) => Promise<void>,
): Promise<void> {
  for (const one of all) await visit(one, one.processes[0]!);
  for (const one of [...all].reverse()) await visit(one, one.processes.at(-1)!);
}
