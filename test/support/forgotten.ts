/** Whether objects are still reachable. */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Until it has been collected, or every chance was given. */
export async function isForgotten(ref: WeakRef<object> | undefined): Promise<boolean> {
  setFlagsFromString('--expose-gc');
  const collect: () => void = runInNewContext('gc');
  for (let tries = 0; tries < 20 && ref?.deref() !== undefined; tries++) {
    await new Promise(setImmediate);
    collect();
  }
  return ref !== undefined && ref.deref() === undefined;
}
