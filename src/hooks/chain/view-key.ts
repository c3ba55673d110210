/** Finds clients that see the same pushes, by the keys of all modules that filter. */

import type { RefusalLines } from '../refusal-lines.ts';
import type { ClientIdentity } from '../types.ts';
import type { InvokedModule } from './hook-step.ts';

/** Numbers chains, so that keys of reloaded modules differ from those of the old ones. */
let chains = 0;

/**
 * @param filters the modules that have `onBeforeSendChanges`
 * @returns the key of a client; `undefined` if the filters have to be invoked for this client alone
 */
export function createViewKey(
  filters: readonly InvokedModule[],
  lines: RefusalLines,
): (client: ClientIdentity) => string | undefined {
  if (filters.some(({ hooks }) => hooks.viewKey === undefined)) return () => undefined;
  const chain = chains++;
  /** Keys by identity, which never changes. */
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

/** The key of one module. `undefined` if it has none, or an invalid one. */
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
