/** Which clients see the same of what is pushed, where every module that filters it says so. */

import type { InvokedModule } from './hook-step.ts';
import type { RefusalLines } from './refusal-lines.ts';
import type { ClientIdentity } from './types.ts';

/** So that what modules that were loaded anew say has nothing to do with what the old ones said. */
let chains = 0;

/**
 * @param filters the modules that have `onBeforeSendChanges`
 * @returns the key of a client; `undefined` if it is to be asked about for itself
 */
export function createViewKey(
  filters: readonly InvokedModule[],
  lines: RefusalLines,
): (client: ClientIdentity) => string | undefined {
  if (filters.some(({ hooks }) => hooks.viewKey === undefined)) return () => undefined;
  const chain = chains++;
  /** An identity never changes. */
  const known = new WeakMap<ClientIdentity, { key: string | undefined }>();
  return (client) => {
    const before = known.get(client);
    if (before !== undefined) return before.key;
    const keys = filters.map((module) => keyOf(module, client, lines));
    const key = keys.includes(undefined) ? undefined : JSON.stringify([chain, ...keys]);
    known.set(client, { key });
    return key;
  };
}

/** Of one module. What is no key is none: the client is asked about, as without one. */
function keyOf(
  { name, hooks }: InvokedModule,
  client: ClientIdentity,
  lines: RefusalLines,
): string | undefined {
  try {
    const key: unknown = hooks.viewKey?.(client);
    if (key === undefined || typeof key === 'string') return key;
    lines.addFault(name, client.remoteAddress, `gave a ${typeof key}, not a string`);
  } catch (error) {
    lines.addFault(name, client.remoteAddress, error);
  }
  return undefined;
}
