import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');

/** A full collection, in tests of what is no longer held. */
export const collectGarbage = runInNewContext('gc') as () => void;
