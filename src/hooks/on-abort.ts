/**
 * Many listeners on one AbortSignal. Node warns of a leak from the eleventh on, and
 * looks through all of them to remove one; here both cost nothing.
 */

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

/** @returns what takes the listener away */
export function onAbort(signal: AbortSignal, listener: AbortListener): () => void {
  const listeners = listenersBySignal.get(signal) ?? listenTo(signal);
  listeners.add(listener);
  return () => listeners.delete(listener);
}
