/** Loaded into a server: says at SIGWINCH for how long its loop was held up at most since the last one. */

import { monitorEventLoopDelay } from 'node:perf_hooks';

const delay = monitorEventLoopDelay({ resolution: 10 });
delay.enable();
process.on('SIGWINCH', () => {
  process.stderr.write(`held up for ${Math.round(delay.max / 1e6)} ms\n`);
  delay.reset();
});
