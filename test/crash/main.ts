/**
 * Kills a server under load, 200 times unless told otherwise:
 *
 *     npm run test:crash -- --kills 200
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { crashAgainAndAgain } from './crash.ts';
import { canTrace, checkFsyncs } from './fsync.ts';

const { values } = parseArgs({ options: { kills: { type: 'string', default: '200' } } });
const kills = Number(values.kills);
if (!Number.isSafeInteger(kills) || kills < 1) {
  process.stderr.write('--kills is a whole number\n');
  process.exit(2);
}
const cleanups: (() => unknown)[] = [];
const owner = { after: (fn: () => unknown) => cleanups.push(fn) };
function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'sync-crash-'));
  cleanups.unshift(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
try {
  const report = await crashAgainAndAgain({
    kills,
    owner,
    dataDir: temporaryDirectory(),
    onProgress(done, acknowledged) {
      if (done % 10 === 0) process.stdout.write(`${done} kills, ${acknowledged} acknowledged\n`);
    },
  });
  process.stdout.write(`${kills} kills: ${JSON.stringify(report)}\n`);
  if (canTrace()) {
    const checked = await checkFsyncs(temporaryDirectory(), owner);
    process.stdout.write(`${checked} acknowledgements, each after an fsync (strace)\n`);
  } else process.stdout.write('strace is not installed: the order of fsyncs was not looked at\n');
} finally {
  for (const cleanup of cleanups.reverse()) await cleanup();
}
