/** Time that a peer is given. */

const STEPS = 9;

/**
 * Calls `end` after about `ms` milliseconds in which this process got its turns: what the machine keeps
 * it from, and so from hearing the peer, is not held against the peer.
 * @returns ends it before
 */
export function startGrace(ms: number, end: () => void): () => void {
  let steps = 0;
  let timer: NodeJS.Timeout;
  const step = () => {
    if (steps++ === STEPS) end();
    else timer = setTimeout(step, ms / STEPS).unref();
  };
  step();
  return () => clearTimeout(timer);
}
