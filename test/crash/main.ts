/**
 * Kills a server under load, 200 times unless told otherwise, or one of several nodes on a PostgreSQL
 * of its own:
 *
 *     npm run test:crash -- --kills 200
 *     npm run test:crash -- --kills 50 --nodes 3
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startPostgres } from '../support/postgres.ts';
import { crashCluster } from './cluster.ts';
import { crashAgainAndAgain } from './crash.ts';
import { canTrace, checkFsyncs } from './fsync.ts';

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '200' },
    nodes: { type: 'string', default: '1' },
  },
});
const kills = wholeNumber('--kills', values.kills);
const nodes = wholeNumber('--nodes', values.nodes);
const cleanups: (() => unknown)[] = [];
const owner = { after: (fn: () => unknown) => cleanups.push(fn) };
function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'sync-crash-'));
  cleanups.unshift(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
function wholeNumber(flag: string, text: string): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number >= 1) return number;
  process.stderr.write(`${flag} is a whole number\n`);
  process.exit(2);
}
function onProgress(done: number, acknowledged: number): void {
  if (done % 10 === 0) process.stdout.write(`${done} kills, ${acknowledged} acknowledged\n`);
}
async function killOneOfMany(): Promise<void> {
  const postgres = await startPostgres();
  cleanups.push(() => postgres.stop());
  const dataDir = temporaryDirectory();
  const storage = postgres.url();
  const report = await crashCluster({ nodes, kills, owner, dataDir, storage, onProgress });
  process.stdout.write(`${kills} kills among ${nodes} nodes: ${JSON.stringify(report)}\n`);
}
async function killOnlyOne(): Promise<void> {
  const dataDir = temporaryDirectory();
  const report = await crashAgainAndAgain({ kills, owner, dataDir, onProgress });
  process.stdout.write(`${kills} kills: ${JSON.stringify(report)}\n`);
  if (canTrace()) {
    const checked = await checkFsyncs(temporaryDirectory(), owner);
    process.stdout.write(`${checked} acknowledgements, each after an fsync (strace)\n`);
  } else process.stdout.write('strace is not installed: the order of fsyncs was not looked at\n');
}
try {
  await (nodes > 1 ? killOneOfMany() : killOnlyOne());
} finally {
  for (const cleanup of cleanups.reverse()) await cleanup();
}
