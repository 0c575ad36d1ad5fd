/** What was done in some time. */
export interface WorkDone {
  readonly operations: number;
  readonly ms: number;
  /** Time on the processor, of all threads of the contender's process. */
  readonly cpuMs: number;
}

export function sumOf(parts: readonly WorkDone[]): WorkDone {
  return {
    operations: parts.reduce((sum, part) => sum + part.operations, 0),
    ms: parts.reduce((sum, part) => sum + part.ms, 0),
    cpuMs: parts.reduce((sum, part) => sum + part.cpuMs, 0),
  };
}
