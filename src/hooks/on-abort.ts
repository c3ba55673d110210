/**
 * Many listeners on one AbortSignal, by one real listener. Node warns of a leak from the eleventh
 * on, and searches all of them to remove one.
 */

import { toSyncError } from '../errors/sync-error.ts';

type AbortListener = (reason: unknown) => void;

const listenersBySignal = new WeakMap<AbortSignal, Set<AbortListener>>();

function listenTo(signal: AbortSignal): Set<AbortListener> {
  const listeners = new Set<AbortListener>();
  listenersBySignal.set(signal, listeners);
  const tellAll = () => {
    for (const listener of listeners) listener(signal.reason);
  };
  signal.addEventListener('abort', tellAll, { once: true });
  return listeners;
}

/** @returns removes the listener */
export function onAbort(signal: AbortSignal, listener: AbortListener): () => void {
  const listeners = listenersBySignal.get(signal) ?? listenTo(signal);
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export type Signals = readonly (AbortSignal | undefined)[];

export function findAborted(signals: Signals): AbortSignal | undefined {
  for (const signal of signals) if (signal?.aborted) return signal;
  return undefined;
}

/** Rejects as soon as the signal is aborted; the work goes on. */
export function whileThere<Value>(
  signal: AbortSignal | undefined,
  work: Promise<Value>,
): Promise<Value> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const off = onAbort(signal, (reason) =>
      reject(toSyncError(reason, 'HOOK_FAILED', 'the client has gone')),
    );
    work.then(resolve, reject).finally(off);
  });
}
