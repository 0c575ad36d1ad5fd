import type { Frame } from './ambient.js';

/** A result that was handed out and that nobody has asked anything of yet: an Observable without a subscriber. */
export interface UnclaimedResult {
  /** Gives it up: nobody will ask any more. */
  abandon(): void;
}

/** The frame has ended: what was handed out in it and not claimed will not be claimed any more. */
export function abandonUnclaimed({ unclaimed }: Frame): void {
  if (unclaimed === null) return;
  for (const one of [...unclaimed]) one.abandon();
}
