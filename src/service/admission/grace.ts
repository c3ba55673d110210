/** Measures the time that a peer is given. */

const STEPS = 9;

/**
 * Calls `end` after about `ms` milliseconds in which this process was running. While the process is
 * held up it cannot hear the peer, so that time counts little.
 * @returns cancels it
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
