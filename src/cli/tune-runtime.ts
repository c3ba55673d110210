/** What the command asks of Node.js and V8, as the only program in its process. */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { mapSources } from '../modules/import-module.ts';
import { collectWith } from '../storage/leveldb/minor-gc.ts';

export function tuneRuntime(): void {
  mapSources();
  // V8 watches what outlives a collection, and from then on makes objects of such a place in the code
  // old from birth. What a transaction becomes outlives one only by chance, when the disk is slow for a
  // moment. After that it was garbage which only major collections find: every second process took
  // a tenth more CPU than the others, for as long as it lived.
  setFlagsFromString('--no-allocation-site-pretenuring');
  // V8 gives its collector to no program by itself, but to every context that is made after this flag was set.
  setFlagsFromString('--expose-gc');
  const gc: unknown = runInNewContext('gc');
  setFlagsFromString('--no-expose-gc');
  if (typeof gc === 'function') collectWith((options) => gc(options));
}
