/**
 * Many files of tests in one process, which imports the coordinator once for all of them. Each is a
 * suite with the file's name, to which the hooks belong that the file has outside of its own suites.
 *
 * Several processes share a list: each takes the next files when it is done with its last ones.
 */

import { appendFileSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe } from 'node:test';
import { pathToFileURL } from 'node:url';

/** Where to write what each file costs, if anywhere. */
const COSTS_FILE = process.env.TEST_COSTS_FILE;
/** Of Linux, in each second. */
const TICKS = 100;

/**
 * @param groups of files relative to the working directory; those of one group are read together
 * @param taken a directory in which the processes that share the list mark what they take
 * @param takenMax so many files are enough for one process, whose memory grows with each
 * @param isChosen flags choose among the tests. Since Node.js 22 that is done before a file is read when
 *   the tests have begun, so all of this process are read first.
 * @param timeoutMs of each file
 */
export async function describeFiles(groups, { taken, takenMax, isChosen = false, timeoutMs }) {
  let files = 0;
  for (const [i, group] of groups.entries()) {
    if (files >= takenMax) return;
    if (!take(join(taken, String(i)))) continue;
    files += group.length;
    const ends = group.map((file) => describeFile(file, timeoutMs));
    if (!isChosen) await Promise.all(ends);
  }
}

/** @returns whether no other process was quicker */
function take(path) {
  try {
    mkdirSync(path);
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

/** @returns resolves when its tests have ended, in whichever way */
function describeFile(file, timeout) {
  return new Promise((resolve) => {
    describe(file, { timeout }, async () => {
      if (COSTS_FILE !== undefined) before(() => startMeter(file));
      try {
        await import(pathToFileURL(file).href);
      } finally {
        if (COSTS_FILE !== undefined) after(() => stopMeter(file));
        after(resolve);
      }
    });
  });
}

const startedAt = new Map();

function startMeter(file) {
  startedAt.set(file, { wall: performance.now() / 1000, cpu: cpuSeconds() });
}

function stopMeter(file) {
  const { wall, cpu } = startedAt.get(file);
  const cost = { file, cpu: cpuSeconds() - cpu, wall: performance.now() / 1000 - wall };
  appendFileSync(COSTS_FILE, `${JSON.stringify(cost)}\n`);
}

/** Of this process, and of those that it has started and seen end. */
function cpuSeconds() {
  const stat = readFileSync('/proc/self/stat', 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / TICKS;
}
