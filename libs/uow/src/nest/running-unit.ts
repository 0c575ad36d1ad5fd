import { AmbientUnit } from '../transaction/ambient-unit.js';
import { currentFrame } from '../transaction/ambient.js';
import type { TransactionManager } from '../transaction/transaction-manager.js';

/** The unit of the running code in an application; `undefined` outside every one. */
export function runningUnit(manager: TransactionManager): AmbientUnit | undefined {
  for (let frame = currentFrame() ?? null; frame !== null; frame = frame.parent) {
    if (frame.owner === manager && frame instanceof AmbientUnit && !frame.closed) return frame;
  }
  return undefined;
}
