/** Which clients see the same of what is pushed, where every module that filters it says so. */

import { createLogger } from '../logging/logger.ts';
import type { InvokedModule } from './hook-step.ts';
import type { ClientIdentity } from './types.ts';

const logger = createLogger('sync-coordinator:hooks');

/** So that what modules that were loaded anew say has nothing to do with what the old ones said. */
let chains = 0;

/**
 * @param filters the modules that have `onBeforeSendChanges`
 * @returns the key of a client; `undefined` if it is to be asked about for itself
 */
export function createViewKey(
  filters: readonly InvokedModule[],
): (client: ClientIdentity) => string | undefined {
  if (filters.some(({ hooks }) => hooks.viewKey === undefined)) return () => undefined;
  const chain = chains++;
  /** An identity never changes. */
  const known = new WeakMap<ClientIdentity, { key: string | undefined }>();
  return (client) => {
    const before = known.get(client);
    if (before !== undefined) return before.key;
    const keys = filters.map((module) => keyOf(module, client));
    const key = keys.includes(undefined) ? undefined : JSON.stringify([chain, ...keys]);
    known.set(client, { key });
    return key;
  };
}

/** Of one module. What is no key is none: the client is asked about, as without one. */
function keyOf({ name, hooks }: InvokedModule, client: ClientIdentity): string | undefined {
  try {
    const key: unknown = hooks.viewKey?.(client);
    if (key === undefined || typeof key === 'string') return key;
    logger.error('%s: viewKey gave a %s, not a string', name, typeof key);
  } catch (error) {
    logger.error('%s: viewKey failed: %O', name, error);
  }
  return undefined;
}
