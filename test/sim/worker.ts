/** A process that simulates what it is asked to, until who started it lets it go. */

import { runSimulations } from './run.ts';

process.on('message', async (args: string[]) => {
  const lines: string[] = [];
  try {
    await runSimulations(args, (line) => lines.push(line));
  } catch (error) {
    lines.push(String(error));
  }
  process.send?.(lines.join('\n'));
});
